"""What two sensors make of a scene: a photo with its faults, and depth with its holes."""

import numpy as np
from PIL import Image
from PIL import ImageFilter

MIN_RANGE_M = 0.4
MAX_RANGE_M = 40.0


def photograph(
    color: np.ndarray, random: np.random.Generator, brightness: tuple[float, float] = (0.24, 0.42)
) -> np.ndarray:
    """Makes a photo of linear light: exposure, white balance, vignetting, tone curve, blur, noise.

    Args:
        color: Linear RGB, float32 [3, height, width].
        random: Source of the settings and of the noise.
        brightness: Least and greatest light of the middle tones, before the tone curve.

    Returns:
        uint8 [height, width, 3].
    """
    _, height, width = color.shape
    middle = np.percentile(color[:, ::8, ::8].mean(0), 60) + 1e-3
    balance = random.normal(1, 0.035, (3, 1, 1))
    light: np.ndarray = color * np.float32(random.uniform(*brightness) / middle * balance)
    y = np.linspace(-0.75, 0.75, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    light *= 1 - np.float32(random.uniform(0.05, 0.25)) * (x * x + y * y)
    # Reinhard's curve with a white point: highlights roll off instead of clipping at once.
    light = light * (1 + light / 9) / (1 + light) * np.float32(1.25)
    values = np.clip(light, 0, 1) ** np.float32(1 / random.uniform(2.0, 2.4))
    values = np.ascontiguousarray(np.moveaxis(values, 0, 2)) * np.float32(255)
    picture = Image.fromarray((values + np.float32(0.5)).astype(np.uint8))
    blurred = picture.filter(ImageFilter.BoxBlur(random.uniform(0.35, 0.7)))
    noise = random.standard_normal(values.shape, np.float32)
    strength = np.float32(random.uniform(0.8, 3.5))
    values = np.asarray(blurred, np.float32) + strength * noise
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def measure(
    depth: np.ndarray,
    color: np.ndarray,
    shine: np.ndarray,
    focal: float,
    random: np.random.Generator,
    min_range_m: float = MIN_RANGE_M,
    baselines_m: tuple[float, float] = (0.04, 0.075),
) -> np.ndarray:
    """Removes the depth that a stereo sensor cannot measure; the rest stays exact.

    Missing are: what is out of range, what an edge hides from the second camera (as wide as the
    jump in disparity), the strip that only one camera sees, most highlights, some dark spots,
    surfaces at grazing angles, and small blobs anywhere.

    Args:
        depth: z depth, float32 [height, width], metres, infinite in the sky.
        color: Linear RGB, float32 [3, height, width].
        shine: Highlights, float32 [height, width].
        focal: Focal length in pixels.
        random: Source of the faults.
        min_range_m: The nearest depth that can be measured.
        baselines_m: Least and greatest distance between the two cameras.

    Returns:
        float32 [height, width] in metres, rounded to millimetres, 0 = missing.
    """
    baseline = random.uniform(*baselines_m)
    missing = ~((depth >= min_range_m) & (depth <= MAX_RANGE_M))
    missing |= _shadowed(depth, focal * baseline)
    grain = _smooth_noise(depth.shape, random)
    brightness = color.mean(0)
    middle = np.median(brightness)
    missing |= (shine > 0.6 * middle + 0.1) & (grain > -0.5)
    missing |= (brightness > 4 * middle) & (grain > 1.0)
    missing |= (brightness < 0.12 * middle) & (grain > 1.3)
    missing |= grain > np.quantile(grain[::4, ::4], 1 - random.uniform(0.012, 0.04))
    exact = np.where(missing, 0, depth)
    return (np.rint(exact * 1000) / 1000).astype(np.float32)


def _shadowed(depth: np.ndarray, focal_baseline: float) -> np.ndarray:
    """Pixels that a second camera to the right does not see, bool [height, width].

    A pixel at column x appears there at x - disparity: it is hidden when a pixel to its right
    appears at the same place or farther left, and out of view when that place is negative.
    """
    disparity = np.where(np.isfinite(depth), focal_baseline / np.maximum(depth, 0.1), 0)
    place = np.arange(depth.shape[1], dtype=np.float32) - disparity.astype(np.float32)
    after = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    hidden = place < 0
    hidden[:, :-1] |= after[:, 1:] < place[:, :-1] + 0.25
    return hidden


def _smooth_noise(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Blotches of a few pixels, of standard deviation 1, float32 [height, width]."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for step in (8, 20):
        coarse = random.standard_normal((height // step + 2, width // step + 2), np.float32)
        picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(picture)
    return total / np.float32(total.std() + 1e-6)
