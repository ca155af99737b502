"""Views of the training pictures, drawn beforehand, with a teacher's answer to each.

A teacher's answer to a crop is not a crop of its answer to the whole picture. So crops and flips
are drawn before the training, the teacher answers exactly these views, and each epoch shows one of
them (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent"). Needs
only NumPy.
"""

import dataclasses

import numpy as np

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.pairs import Stored


@dataclasses.dataclass(frozen=True)
class TeacherViews:
    """The views of N pictures, V of each.

    Attributes:
        crops: float32 [N, V, 5], see `draw_crops`.
        depth: uint16 [N * V, h, w], the teacher's answers, picture after picture, in the units of
            the pairs. A crop is seen as through a longer lens, so its answers are nearer.
    """

    crops: np.ndarray
    depth: Stored


def count_views(asked: int, augmentation: Augmentation) -> int:
    """Returns the number of views of a picture; uncropped, there are only two: itself and mirrored.

    Args:
        asked: How many are wanted.
        augmentation: The run's augmentation.

    Returns:
        At most `asked`, at least 1.
    """
    if augmentation.min_crop < 1 or augmentation.max_roll_deg:
        return asked
    return min(asked, 2 if augmentation.flip else 1)


def draw_crops(count: int, views: int, augmentation: Augmentation, seed: int) -> np.ndarray:
    """Draws the views of pictures: crops as in `augment`, every second one mirrored.

    A view depends only on the seed, the picture and its own number: more views or more pictures do
    not change the first ones.

    Args:
        count: N, the number of pictures.
        views: V, the number of views of each.
        augmentation: Its `min_crop`, `max_roll_deg` and `flip` apply.
        seed: The run's seed.

    Returns:
        float32 [N, V, 5]: top and left edge and side of the crop as shares of the picture's sides,
        1 where it is mirrored, and the camera's roll in radians.
    """
    # RandomState is frozen by NumPy: the same views in every version of it.
    numbers = np.stack([
        np.random.RandomState([seed, picture]).uniform(size=(views, 3))
        for picture in range(count)])
    fraction = 1 - numbers[..., 2] * (1 - augmentation.min_crop)
    mirrored = np.broadcast_to(np.arange(views) % 2 * augmentation.flip, fraction.shape)
    corner = numbers[..., :2] * (1 - fraction[..., None])
    turns = np.stack([np.random.RandomState([seed, picture, 1]).uniform(-1, 1, views)
                      for picture in range(count)])
    roll = np.radians(augmentation.max_roll_deg) * turns
    return np.concatenate(
        [corner, *(column[..., None] for column in (fraction, mirrored, roll))],
        axis=-1).astype(np.float32)
