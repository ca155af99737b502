"""The settings of a run's augmentation; `augment` applies them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What to vary from epoch to epoch; in brackets the value that turns each off.

    Attributes:
        flip: Mirror half of the pictures, at random, left to right (False).
        brightness: All channels times a factor in [1 - brightness, 1 + brightness] (0).
        gamma: Exponent in [1 / (1 + gamma), 1 + gamma] on image / 255 (0).
        color: Each channel times its own factor in [1 - color, 1 + color] (0).
        min_crop: Smallest side of the crop as a fraction of the picture's (1). The crop is
            shown at full size, as by a longer lens, so its depth is multiplied by the fraction.
        max_roll_deg: Roll the camera by up to this angle, either way (0).
        sharpness: Between blurred and sharpened, by up to this much either way, in pixels of what
            the network sees: a factor in [1 - sharpness, 1 + sharpness] on the difference from
            the blurred picture (0). Lenses, sensors and phones' software differ in this.
    """

    flip: bool = True
    brightness: float = 0.2
    gamma: float = 0.2
    color: float = 0.1
    min_crop: float = 1.0
    max_roll_deg: float = 0.0
    sharpness: float = 0.0


OFF = Augmentation(flip=False, brightness=0.0, gamma=0.0, color=0.0)
