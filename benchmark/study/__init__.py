"""`python -m benchmark.study`: Table 2 of the paper, repeated."""
