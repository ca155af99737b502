"""`python -m mai_depth.live`: a camera's depth on a page, with a tape measure. No TensorFlow."""
