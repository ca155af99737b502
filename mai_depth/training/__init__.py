"""Losses, the distillation step, and one training after the other in a folder."""
