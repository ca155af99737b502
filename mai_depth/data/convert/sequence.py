"""What a reader of a layout finds: recordings, their frames and their camera."""

import dataclasses
import pathlib
from typing import NamedTuple

_OFF_CENTRE = 0.2  # no camera's principal point is farther off the centre


class Frame(NamedTuple):
    """A picture and its depth, not read yet.

    Attributes:
        name: Its name within the sequence.
        picture: The file; the frame's number if the sequence is a video.
        depth: The file; it may hold the picture as well (.npz).
        quality: A map that tells good depth from bad, or None.
    """

    name: str
    picture: pathlib.Path | int
    depth: pathlib.Path
    quality: pathlib.Path | None = None


class Intrinsics(NamedTuple):
    """The focal length of a camera.

    Attributes:
        focal_px: In pixels.
        width_px: Width of the pictures that it applies to.
        is_exact: Whether `width_px` is exact; else it is twice the principal point's column,
            because the file says no more.
    """

    focal_px: float
    width_px: float
    is_exact: bool = True

    def in_widths(self, picture_width_px: float) -> float:
        """Returns the focal length in picture widths.

        Args:
            picture_width_px: Width of the pictures, which may have been scaled since.
        """
        is_near = abs(self.width_px / picture_width_px - 1) < _OFF_CENTRE
        width = picture_width_px if is_near and not self.is_exact else self.width_px
        return self.focal_px / width


@dataclasses.dataclass(frozen=True)
class Sequence:
    """Frames that belong together, in the order of the recording.

    Attributes:
        name: Its folder relative to the input, without what tells picture from depth.
        frames: The pairs.
        intrinsics: Those of the pictures, or None.
        video: The file that holds the pictures, or None.
        alone: Names of pictures without depth and of depth without a picture.
    """

    name: str
    frames: tuple[Frame, ...]
    intrinsics: Intrinsics | None = None
    video: pathlib.Path | None = None
    alone: tuple[str, ...] = ()


def sequence_name(folder: pathlib.PurePath) -> str:
    """Names a sequence after its folder.

    Args:
        folder: Relative to the input.

    Returns:
        The folder with slashes; empty for the input itself.
    """
    return "" if folder == pathlib.PurePath(".") else folder.as_posix()
