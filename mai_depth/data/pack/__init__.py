"""`python -m mai_depth.data.pack`: a folder of millions of files becomes a few hundred."""
