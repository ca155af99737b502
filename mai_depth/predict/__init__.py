"""`python -m mai_depth.predict`: depth of pictures, videos and cameras."""
