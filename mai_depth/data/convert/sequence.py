"""What a reader of a layout finds: recordings, their frames and their camera."""

import dataclasses
import pathlib
from typing import NamedTuple

_OFF_CENTRE = 0.2  # no camera's principal point lies further off


class Frame(NamedTuple):
    """A picture and its depth, not read yet.

    Attributes:
        name: What tells it from the others of its sequence.
        picture: The file; the frame's number where the sequence is a video.
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
        width_px: Width of the pictures that it holds for.
        is_exact: Whether that is their width, or twice the principal point's column, because the
            file tells no more.
    """

    focal_px: float
    width_px: float
    is_exact: bool = True

    def in_widths(self, picture_width_px: float) -> float:
        """Gives the focal length in picture widths.

        Args:
            picture_width_px: Of the pictures that were found. They may have been scaled since.
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
        intrinsics: Of the pictures, or None.
        video: The file that holds the pictures, or None.
        alone: Pictures without depth and depth without picture.
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
