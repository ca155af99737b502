"""The part of a picture that is kept: landscape, 4:3, at most 640x480."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from mai_depth.data.pairs import HEIGHT
from mai_depth.data.pairs import WIDTH
from mai_depth.data.samples import MIN_HEIGHT
from mai_depth.errors import UserError

_ASPECTS_APART = 0.02  # ScanNet: 1296x968 and 640x480 differ by 0.4 %, RealSense by up to 1.4 %


class View(NamedTuple):
    """How a picture becomes one that training takes.

    Attributes:
        is_turned: A portrait picture is turned by 90 degrees counter-clockwise: the top of the
            scene is on the left, as the sensor of an upright phone reads it.
        box: (left, top, right, bottom) of the centred 4:3 part of the turned picture, in pixels.
        full: (width, height) of the turned picture.
        size: (width, height) of the result.
    """

    is_turned: bool
    box: tuple[int, int, int, int]
    full: tuple[int, int]
    size: tuple[int, int]

    def __str__(self) -> str:
        """Says what is done to a picture."""
        width, height = self.full
        text = f"pictures of {width}x{height}"
        if self.is_turned:
            text = (f"pictures of {height}x{width} are turned by 90 degrees counter-clockwise, so "
                    "that the top of the scene is on the left")
        box = self.box[2] - self.box[0], self.box[3] - self.box[1]
        steps = [f"{step} {size[0]}x{size[1]}" for step, size, before in
                 (("cut to", box, self.full), ("reduced to", self.size, box)) if size != before]
        joint = ("; they are " if self.is_turned else " are ") if steps else ""
        return f"{text}{joint}{' and '.join(steps)}"

    @property
    def picture_width(self) -> int:
        """The width of the picture before it is turned, in pixels."""
        return self.full[1] if self.is_turned else self.full[0]

    @property
    def is_whole(self) -> bool:
        """Whether the picture stays as it is."""
        return not self.is_turned and self.size == self.full

    def focal_length(self, focal_px: float) -> float:
        """Returns the focal length in widths of the result, from that in pixels of the picture."""
        return focal_px / (self.box[2] - self.box[0])

    def crop_picture(self, rgb: Image.Image) -> Image.Image:
        """Turns, crops and reduces a picture."""
        if self.is_turned:
            rgb = rgb.transpose(Image.Transpose.ROTATE_90)
        if self.box != (0, 0, *rgb.size):
            rgb = rgb.crop(self.box)
        return rgb if rgb.size == self.size else rgb.resize(self.size, Image.Resampling.BILINEAR)

    def crop_depth(self, depth_m: np.ndarray) -> np.ndarray:
        """Does the same to depth of any size, by the nearest pixel: no depth is made up.

        Args:
            depth_m: [height, width] of the whole picture.

        Returns:
            [height', width'] of the result's size.
        """
        if self.is_turned:
            depth_m = np.rot90(depth_m)
        left, top, right, bottom = self.box
        columns = _nearest(left, right, self.full[0], self.size[0], depth_m.shape[1])
        rows = _nearest(top, bottom, self.full[1], self.size[1], depth_m.shape[0])
        return depth_m[rows[:, None], columns]


def view_of(size: tuple[int, int], depth_size: tuple[int, int]) -> View:
    """Finds the largest centred part with an aspect of 4:3.

    Args:
        size: (width, height) of the picture.
        depth_size: (width, height) of its depth map.

    Returns:
        The view.

    Raises:
        UserError: It would be too small, or picture and depth have different aspects.
    """
    width, height = size
    if abs(width / height * depth_size[1] / depth_size[0] - 1) > _ASPECTS_APART:
        raise UserError(f"the picture is {width}x{height} and its depth {depth_size[0]}x"
                        f"{depth_size[1]}, which is not the same view; align depth to color when "
                        "you record, or crop both alike")
    is_turned = height > width
    if is_turned:
        width, height = height, width
    step = min(width // 4, height // 3)
    if step * 3 < MIN_HEIGHT:
        raise UserError(f"{size[0]}x{size[1]} is too small, at least {MIN_HEIGHT * 4 // 3}x"
                        f"{MIN_HEIGHT} is needed")
    left, top = (width - 4 * step) // 2, (height - 3 * step) // 2
    result = (4 * step, 3 * step) if 4 * step <= WIDTH else (WIDTH, HEIGHT)
    return View(is_turned, (left, top, left + 4 * step, top + 3 * step), (width, height), result)


def _nearest(start: int, stop: int, full: int, count: int, available: int) -> np.ndarray:
    """The depth columns, of `available`, that lie under the centres of the result's `count`."""
    middles = start + (np.arange(count) + 0.5) * (stop - start) / count
    return (middles * available / full).astype(int)
