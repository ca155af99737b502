"""`camera.json`: the factor from a network's depth to one camera's metres."""

import dataclasses
import os
import pathlib

from mai_depth.atomic import write_json_atomic
from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.predict.focal_length import in_picture_widths

_KIND = "mai_depth camera"
_SCALES = (1e-3, 1e3)
_MAX_PX = 1e6


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera's calibration with one network.

    Attributes:
        scale: Factor on the network's depth.
        standard_error: Of log scale, so 0.02 are 2 %; None for a single point.
        points: How many measured distances it comes from.
        network: The name of the network's file.
        network_sha256: Its checksum.
        size: (width, height) of the pictures that it was made with; None in older files.
        focal_px: Their focal length in pixels by their EXIF, if that says it.
    """

    scale: float
    standard_error: float | None = None
    points: int = 0
    network: str = ""
    network_sha256: str = ""
    size: tuple[int, int] | None = None
    focal_px: float | None = None

    def factor(
        self, size: tuple[int, int], focal_px: float | None, network_size: tuple[int, int]
    ) -> float:
        """Returns the factor for a picture of this camera, which may be turned or of another lens.

        Padded to the network's aspect, a portrait picture is seen smaller than a landscape one,
        as through a shorter lens.

        Args:
            size: (width, height) of the picture.
            focal_px: Its focal length in its pixels, None where it is unknown.
            network_size: (width, height) of the network's input.

        Returns:
            The factor: `scale`, times the ratio of the focal lengths in widths of what the network
            sees. They are taken for equal in longer sides where one is unknown.
        """
        if self.size is None:
            return self.scale
        if not (focal_px and self.focal_px):
            own_px, seen_px = float(max(self.size)), float(max(size))
        else:
            own_px, seen_px = self.focal_px, focal_px
        own = in_picture_widths(own_px, self.size, network_size)
        return self.scale * in_picture_widths(seen_px, size, network_size) / own

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" +- {100 * self.standard_error:.1f} %"
        count = f"{self.points} point{'s' * (self.points != 1)}"
        return f"depth x {self.scale:.3f}{error} ({count})"


def write_camera(path: str | os.PathLike, camera: Camera) -> None:
    """Writes a calibration, atomically."""
    write_json_atomic(path, camera_json(camera))


def camera_json(camera: Camera) -> dict:
    """Returns the content of a calibration's file."""
    content = dataclasses.asdict(camera)
    unknown = [name for name in ("size", "focal_px") if content[name] is None]
    return {"kind": _KIND, **{name: content[name] for name in content if name not in unknown}}


def read_camera(path: str | os.PathLike, flag: str = "camera") -> Camera:
    """Reads a calibration.

    Args:
        path: What `python -m mai_depth.calibrate` has written.
        flag: By which the user has given it.

    Returns:
        The calibration.

    Raises:
        UserError: Missing, damaged, or another file.
    """
    path = pathlib.Path(path)
    try:
        content = read_json(path)
        if content.pop("kind", None) != _KIND:
            raise ValueError("it is another kind of file")
        if (size := content.pop("size", None)) is not None:
            content["size"] = _checked_size(size)
        camera = Camera(**content)
        if not 0 < (camera.focal_px or 1.0) < _MAX_PX:
            raise ValueError(f"a focal length of {camera.focal_px} pixels")
        if not _SCALES[0] < camera.scale < _SCALES[1]:
            raise ValueError(f"a scale of {camera.scale}")
        str(camera)
        return camera
    except OSError as error:
        raise UserError(f"--{flag}={path}: cannot be read ({error.strerror}); python -m "
                        "mai_depth.calibrate makes one") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"--{flag}={path}: not a camera calibration ({error}); python -m "
                        "mai_depth.calibrate makes one") from error


def _checked_size(size: object) -> tuple[int, int]:
    match size:
        case [int(width), int(height)] if min(width, height) > 0 and max(width, height) < _MAX_PX:
            return width, height
    raise ValueError(f"a picture size of {size}")
