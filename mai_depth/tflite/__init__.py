"""Reading, checking, running and editing `.tflite` files without TensorFlow."""
