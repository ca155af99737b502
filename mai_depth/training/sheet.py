"""The sheet of pictures that a training saves: photo, true depth, predictions and error."""

import os
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from PIL import Image
from PIL import ImageDraw

from mai_depth.atomic import atomic_path
from mai_depth.colormap import colorize
from mai_depth.data.pairs import Pairs
from mai_depth.depth import valid_mask

_TILE = (240, 320)
_TITLE_HEIGHT = 22


def save_sheet(
    path: str | os.PathLike,
    pairs: Pairs,
    indices: Sequence[int],
    predictions: Mapping[str, Sequence[np.ndarray]],
    captions: Sequence[str] | None = None,
) -> None:
    """Draws one row per picture: photo, true depth, each prediction, the error of the last one.

    All depths of a row share one colour range, the 2nd to 98th percentile of the truth; the error
    is the difference of log depth after the best scale, as si-RMSE sees it, from -0.5 to 0.5.

    Args:
        path: The PNG to write.
        pairs: The pictures with true depth.
        indices: Which of them.
        predictions: Title -> [480, 640] metres for each of `indices`.
        captions: Text for the corner of each photo; None for none.
    """
    titles = ["photo", "true depth", *predictions, "error (blue: too near, red: too far)"]
    rows = [
        np.concatenate(_row(pairs, index, [depths[row] for depths in predictions.values()]), axis=1)
        for row, index in enumerate(indices)
    ]
    sheet = Image.new("RGB", (rows[0].shape[1], _TITLE_HEIGHT + len(rows) * _TILE[0]), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((column * _TILE[1] + 6, 5), title, fill="black")
    sheet.paste(Image.fromarray(np.concatenate(rows)), (0, _TITLE_HEIGHT))
    for row, caption in enumerate(captions or ()):
        corner = (6, _TITLE_HEIGHT + row * _TILE[0] + 5)
        draw.rectangle(draw.textbbox(corner, caption), fill="white")
        draw.text(corner, caption, fill="black")
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def choose_rows(order: Sequence[int], count: int) -> dict[str, list[int]]:
    """Chooses pictures for three sheets.

    Args:
        order: Indices of pictures, the best first.
        count: Pictures per sheet, at most.

    Returns:
        `good` (the best first), `median` (around the middle), `worst` (the worst first).
    """
    middle = max(0, (len(order) - count) // 2)
    return {"good": list(order[:count]), "median": list(order[middle : middle + count]),
            "worst": list(order[::-1][:count])}


def _row(pairs: Pairs, index: int, depths: list[np.ndarray]) -> list[np.ndarray]:
    step = pairs.depth.shape[1] // _TILE[0]
    truth = pairs.depth_m(index)[::step, ::step]
    valid = valid_mask(truth)
    near, far = np.percentile(truth[valid], (2, 98)) if valid.any() else (0.0, 1.0)
    tiles = [np.asarray(pairs.rgb[index])[::step, ::step]]
    tiles += [
        colorize(depth, near, far)
        for depth in (truth, *(depth[::step, ::step] for depth in depths))
    ]
    return [*tiles, _error_tile(truth, depths[-1][::step, ::step], valid)]


def _error_tile(truth: np.ndarray, depth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Blue where the prediction is too near, white where it is right, red where it is too far."""
    difference = np.zeros(truth.shape)
    difference[valid] = np.log(np.maximum(depth[valid], 1e-3)) - np.log(truth[valid])
    if valid.any():
        difference[valid] -= difference[valid].mean()
    strength = np.clip(difference / 0.5, -1, 1)[..., None]
    red, blue = np.array([178, 24, 43]), np.array([33, 102, 172])
    color = np.where(strength > 0, red, blue)
    tile = 255 + np.abs(strength) * (color - 255.0)
    return np.where(valid[..., None], tile, 0).astype(np.uint8)
