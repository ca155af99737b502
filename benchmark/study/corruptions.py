"""Pictures as cameras spoil them: blurred, sharpened, noisy, dark, compressed.

Of the kinds in Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019); strengths in pixels and gray levels of the 480x640 picture.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL import ImageFilter

_GAMMA = 2.2


def _blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return _filtered(ImageFilter.GaussianBlur(sigma))


def _filtered(by: ImageFilter.Filter) -> Callable[[np.ndarray], np.ndarray]:
    return lambda rgb: np.asarray(Image.fromarray(rgb).filter(by))


def _noisy(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    def add(rgb: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, sigma, rgb.shape)
        return (rgb + noise).round().clip(0, 255).astype(np.uint8)

    return add


def _dimmed(light: float) -> Callable[[np.ndarray], np.ndarray]:
    table = (255 * (light * (np.arange(256) / 255) ** _GAMMA) ** (1 / _GAMMA)).round()
    return lambda rgb: table.astype(np.uint8)[rgb]


def _compressed(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    def compress(rgb: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return compress


CORRUPTIONS = {  # name -> from uint8 [height, width, 3] to the same
    "blur1": _blurred(1),
    "blur2": _blurred(2),
    "blur4": _blurred(4),
    "motion16": _filtered(ImageFilter.BoxBlur((8, 0))),  # from 8 pixels left to 8 right
    "sharpened": _filtered(ImageFilter.UnsharpMask(2, 100, 0)),
    "noise8": _noisy(8),
    "noise16": _noisy(16),
    "dark": _dimmed(0.25),  # a quarter of the light
    "jpeg10": _compressed(10),  # quality, of 100
}
