"""The pictures of a sequence: files, frames of a video, or arrays beside the depth."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from mai_depth.data.convert.array_file import read_array
from mai_depth.data.convert.sequence import Sequence
from mai_depth.errors import UserError
from mai_depth.picture import eight_bits
from mai_depth.picture import open_picture
from mai_depth.picture import orientation
from mai_depth.video_frames import read_frames

_NAMES = ("rgb", "image", "color")  # of the array in a .npz
_TURNS = {6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}


class Picture(NamedTuple):
    """A picture, 8-bit RGB; `is_as_stored` if its file is a JPEG with exactly these pixels."""

    rgb: Image.Image
    is_as_stored: bool


def read_rgb(path: pathlib.Path, is_portrait: bool) -> Picture:
    """Reads a picture in the orientation of its depth.

    A phone stores the pixels as its sensor reads them, and a tag that turns them upright. Depth is
    stored in either orientation; its aspect tells in which.

    Args:
        path: A picture, or a .npz with an array `rgb`.
        is_portrait: Whether the depth map is.

    Returns:
        The picture.

    Raises:
        UserError: It cannot be read, or it is unclear which orientation its depth has.
    """
    if path.suffix.lower() == ".npz":
        return Picture(_from_array(path), False)
    with open_picture(path) as image:
        image.load()
        turn = orientation(image)
        rgb = eight_bits(image).convert("RGB")
        is_jpeg = image.format == "JPEG"
    if turn == 1:
        return Picture(rgb, is_jpeg)
    if turn not in _TURNS or rgb.width == rgb.height:
        raise UserError(f"{path}: EXIF orientation {turn}, but depth has no such tag; "
                        "rotate the pixels and remove the tag")
    lies_as_depth = (rgb.height > rgb.width) == is_portrait
    return Picture(rgb if lies_as_depth else rgb.transpose(_TURNS[turn]), False)


def read_video(path: pathlib.Path) -> Iterator[Image.Image]:
    """Yields the frames of a video as the sensor reads them, which is the depth's orientation."""
    frames, _, _ = read_frames(str(path), upright=False)
    for frame in frames:
        yield Image.fromarray(frame)


def picture_size(sequence: Sequence) -> tuple[int, int]:
    """Returns the (width, height) of a sequence's pictures, from the first that can be read."""
    if sequence.video:
        return next(read_video(sequence.video)).size
    for frame in sequence.frames:
        assert isinstance(frame.picture, pathlib.Path)
        try:
            if frame.picture.suffix.lower() == ".npz":
                return _from_array(frame.picture).size
            with open_picture(frame.picture) as image:
                return image.size
        except UserError:  # already counted as broken
            continue
    raise AssertionError("a sequence of which a pair was converted has a picture")


def _from_array(path: pathlib.Path) -> Image.Image:
    pixels = read_array(path, _NAMES)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        shape = "x".join(map(str, pixels.shape))
        raise UserError(f"{path}: its picture is {shape} of {pixels.dtype}, expected height x "
                        "width x 3 of uint8; put the picture beside it as NAME.png")
    return Image.fromarray(pixels)
