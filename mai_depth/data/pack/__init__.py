"""`python -m mai_depth.data.pack`: packs a folder of millions of files into a few hundred."""
