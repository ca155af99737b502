"""Monocular depth that runs anywhere: a small Keras network, distilled, exported and measured.

Importing this package is cheap: TensorFlow is loaded by the modules that need it.
"""

__version__ = "0.1.0"
