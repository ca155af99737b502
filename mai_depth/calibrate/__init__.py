"""`python -m mai_depth.calibrate`: metres that are right for one's own camera."""
