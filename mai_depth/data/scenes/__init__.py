"""Procedural rooms and streets with exact depth: a small ray caster in NumPy and Pillow."""
