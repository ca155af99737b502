"""The depth of one picture, and the files that show it."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mai_depth.atomic import atomic_path
from mai_depth.colormap import add_legend
from mai_depth.colormap import colorize
from mai_depth.colormap import depth_range
from mai_depth.depth import valid_mask
from mai_depth.depth import write_depth_rows
from mai_depth.errors import UserError
from mai_depth.png_file import MARK
from mai_depth.predict.camera_picture import VIEW_SIDE
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.placement import Placement
from mai_depth.predict.placement import from_network
from mai_depth.predict.placement import place
from mai_depth.predict.placement import rows_from_network
from mai_depth.predict.placement import to_network
from mai_depth.predict.point_cloud import point_cloud
from mai_depth.predict.point_cloud import write_ply

KINDS = ("depth", "npy", "color", "side_by_side", "ply")

_MIN_VIEW = 320  # px: a smaller picture is drawn larger, so that its legend can be read
_CLOUD_SIDE = 640  # px: the network knows nothing finer
_ENDINGS = {"depth": "_depth.png", "npy": "_depth.npy", "color": "_color.png",
            "side_by_side": "_side_by_side.png", "ply": ".ply"}


@dataclasses.dataclass(frozen=True)
class Style:
    """How depth is drawn.

    Attributes:
        near_m: Depth of the warmest colour; None for the picture's 2nd percentile.
        far_m: Depth of the coldest colour; None for the 98th.
        colormap: One of `colormap.COLORMAPS`.
        field_of_view_deg: Angle along the longer side of the picture, for point clouds.
    """

    near_m: float | None = None
    far_m: float | None = None
    colormap: str = "turbo"
    field_of_view_deg: float = 60.0

    def limits(self, automatic: tuple[float, float]) -> tuple[float, float]:
        """Replaces an automatic (near, far) by what is fixed."""
        near, far = automatic
        near = near if self.near_m is None else self.near_m
        far = far if self.far_m is None else self.far_m
        return near, max(far, near)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A picture and what a network says of it.

    Attributes:
        picture: The picture.
        placement: How the network saw it.
        answer: float32 [height, width] in metres, the network's output.
    """

    picture: CameraPicture
    placement: Placement
    answer: np.ndarray

    def depth_m(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Returns the depth as float32 [height, width] in metres, 0 = missing.

        Args:
            size: (width, height); the picture's own by default.
        """
        return from_network(self.answer, self.placement, size or self.picture.size)

    def scaled(self, factor: float) -> "Prediction":
        """Returns the same with depth multiplied, in another camera's metres."""
        if factor == 1.0:
            return self
        return dataclasses.replace(self, answer=self.answer * np.float32(factor))

    def depth_rows(self) -> Iterator[np.ndarray]:
        """Yields the depth at the picture's own size, float32 [a few rows, width] at a time."""
        return rows_from_network(self.answer, self.placement, self.picture.size)


def predict(network: DepthNetwork, picture: CameraPicture, fit: str = "pad") -> Prediction:
    """Asks a network for the depth of a picture of any size.

    Args:
        network: Of `open_network`.
        picture: Of `read_picture` or `from_array`.
        fit: How the picture is brought to the network's aspect, see `placement.place`.

    Returns:
        The prediction.

    Raises:
        UserError: The network's answer holds no depth.
    """
    network_size = network.input_size[::-1]  # width first, as Pillow has it
    placement = place(picture.size, network_size, fit)
    answer = network(to_network(picture, placement, network_size))
    if not valid_mask(answer).any():
        raise UserError("the network gives no depth at all, only zeros or NaN; check --model")
    return Prediction(picture, placement, answer)


def draw(
    prediction: Prediction, limits: tuple[float, float], colormap: str, beside: bool
) -> np.ndarray:
    """Draws depth as colours with a legend.

    Args:
        prediction: The depth; a picture of more than 2048 pixels is drawn smaller.
        limits: Depths of the warmest and the coldest colour, in metres.
        colormap: One of `colormap.COLORMAPS`.
        beside: Put the photo to the left.

    Returns:
        uint8 [height, width, 3].
    """
    size = _view_size(prediction.picture)
    colors = colorize(prediction.depth_m(size), *limits, colormap)
    if beside:
        photo = prediction.picture.rgb.resize(size, Image.Resampling.BILINEAR)
        colors = np.concatenate([np.asarray(photo), colors], axis=1)
    return add_legend(colors, *limits, colormap)


def write_prediction(
    stem: pathlib.Path, prediction: Prediction, kinds: tuple[str, ...], style: Style
) -> None:
    """Writes the files of one picture, each atomically.

    Args:
        stem: The folder and the beginning of the names; the folder is made.
        prediction: The depth.
        kinds: Of `KINDS`: `STEM_depth.png` (16 bits, millimetres) and `STEM_depth.npy` (metres) at
            the picture's own size, `STEM_color.png`, `STEM_side_by_side.png`, `STEM.ply`.
        style: Colours and the camera's angle.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = {kind: stem.with_name(stem.name + _ENDINGS[kind]) for kind in kinds}
    if "depth" in kinds:
        write_depth_rows(paths["depth"], prediction.picture.size, prediction.depth_rows())
    if "npy" in kinds:
        with atomic_path(paths["npy"]) as temporary:
            np.save(temporary, prediction.depth_m())
    if {"color", "side_by_side"} & set(kinds):
        limits = style.limits(depth_range(prediction.depth_m(_view_size(prediction.picture))))
        for kind in {"color", "side_by_side"} & set(kinds):
            drawn = draw(prediction, limits, style.colormap, beside=kind == "side_by_side")
            _save_picture(paths[kind], drawn)
    if "ply" in kinds:
        size = prediction.picture.view_size(_CLOUD_SIDE)
        rgb = np.asarray(prediction.picture.rgb.resize(size, Image.Resampling.BILINEAR))
        points = point_cloud(rgb, prediction.depth_m(size), style.field_of_view_deg)
        write_ply(paths["ply"], points)


def _view_size(picture: CameraPicture) -> tuple[int, int]:
    width, height = picture.view_size(VIEW_SIDE)
    larger = max(1.0, _MIN_VIEW / max(width, height))
    return round(width * larger), round(height * larger)


def _save_picture(path: str | os.PathLike, rgb: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        text = PngInfo()
        text.add_text(*MARK)
        Image.fromarray(rgb).save(temporary, format="PNG", pnginfo=text)
