"""The networks: built, started from other weights, saved and loaded without trust."""
