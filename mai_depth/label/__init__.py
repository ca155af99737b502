"""`python -m mai_depth.label`: pictures without depth become a training folder."""
