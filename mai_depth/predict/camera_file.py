"""`camera.json`: the factor from a network's depth to one camera's metres."""

import dataclasses
import os
import pathlib

from mai_depth.atomic import write_json_atomic
from mai_depth.errors import UserError
from mai_depth.json_file import read_json

_KIND = "mai_depth camera"
_SCALES = (1e-3, 1e3)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera's calibration with one network.

    Attributes:
        scale: Factor on the network's depth.
        standard_error: Of log scale, so 0.02 are 2 %; None for a single point.
        points: How many measured distances it comes from.
        network: The name of the network's file.
        network_sha256: Its checksum.
    """

    scale: float
    standard_error: float | None = None
    points: int = 0
    network: str = ""
    network_sha256: str = ""

    def __str__(self) -> str:
        error = "" if self.standard_error is None else f" +- {100 * self.standard_error:.1f} %"
        count = f"{self.points} point{'s' * (self.points != 1)}"
        return f"depth x {self.scale:.3f}{error} ({count})"


def write_camera(path: str | os.PathLike, camera: Camera) -> None:
    """Writes a calibration, atomically."""
    write_json_atomic(path, camera_json(camera))


def camera_json(camera: Camera) -> dict:
    """Returns the content of a calibration's file."""
    return {"kind": _KIND, **dataclasses.asdict(camera)}


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
        camera = Camera(**content)
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
