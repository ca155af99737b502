"""A student written and fine-tuned for 8-bit integers."""
