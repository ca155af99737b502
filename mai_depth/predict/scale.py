"""The factor on a network's depth, and its reason: a calibrated camera or a focal length."""

import dataclasses
import os
import pathlib

from mai_depth.checksum import file_sha256
from mai_depth.errors import UserError
from mai_depth.network.pretrained import forms_of
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.focal_length import exported_from
from mai_depth.predict.focal_length import focal_px_of_angle
from mai_depth.predict.focal_length import in_picture_widths
from mai_depth.predict.focal_length import network_focal_length

_SAME = 5e-4  # a factor that is shown with three digits


@dataclasses.dataclass(frozen=True)
class Scale:
    """What is known of the camera; without any of it depth stays as it is.

    Attributes:
        camera: A calibration, which decides alone; the rest then only shapes point clouds.
        camera_name: Its file.
        focal_px: Focal length in pixels of the picture.
        field_of_view_deg: Or what the camera sees along the longer side.
        canonical: Focal length of the network's own camera in picture widths; None: unknown.
    """

    camera: Camera | None = None
    camera_name: str = ""
    focal_px: float | None = None
    field_of_view_deg: float | None = None
    canonical: float | None = None

    def focal_px_of(self, picture: CameraPicture) -> float | None:
        """Returns the focal length for a picture in its pixels: of a flag, else of its EXIF."""
        if self.focal_px is not None:
            return self.focal_px
        if self.field_of_view_deg is not None:
            return focal_px_of_angle(self.field_of_view_deg, picture.size)
        return picture.focal_px

    def of(self, picture: CameraPicture, network_size: tuple[int, int]) -> tuple[float, str]:
        """Returns the factor for a picture.

        Args:
            picture: The picture.
            network_size: (width, height) of the network's input.

        Returns:
            The factor, and one line that says where it comes from, empty where nothing is known.
        """
        if self.camera is not None:
            factor = self.camera.factor(picture.size, picture.focal_px, network_size)
            line = f"{self.camera} of {self.camera_name}"
            if abs(factor / self.camera.scale - 1) < _SAME:
                return factor, f"scale: {line}"
            return factor, (f"scale: depth x {factor:.3f}: {line}, brought to a picture of another "
                            "shape or lens")
        focal_px = self.focal_px_of(picture)
        if focal_px is None and self.canonical is not None:
            return 1.0, ("scale: a guess, no focal length is known; give --field_of_view_deg or "
                         "--camera")
        if focal_px is None:
            return 1.0, ""
        if self.canonical is None:
            return 1.0, ("scale: depth as it is: the network's file does not give its "
                         "focal_length")
        widths = in_picture_widths(focal_px, picture.size, network_size)
        factor = widths / self.canonical
        return factor, (f"scale: depth x {factor:.3f}, focal length {widths:.3f} picture widths "
                        f"({self._source()}), the network's {self.canonical:.3f}")

    def _source(self) -> str:
        if self.focal_px is not None:
            return "--focal_length_px"
        return "EXIF" if self.field_of_view_deg is None else "--field_of_view_deg"


def open_scale(
    network: pathlib.Path,
    camera: str | os.PathLike | None = None,
    focal_px: float | None = None,
    field_of_view_deg: float | None = None,
) -> tuple[Scale, str | None]:
    """Reads what the flags say of the camera.

    Args:
        network: The network's file.
        camera: `--camera`.
        focal_px: `--focal_length_px`.
        field_of_view_deg: `--field_of_view_deg`.

    Returns:
        The scale, and a warning where the calibration was made with another network.

    Raises:
        UserError: The calibration cannot be read, two flags say the same, or the network's file
            does not give its focal length.
    """
    if focal_px is not None and field_of_view_deg is not None:
        raise UserError("--focal_length_px and --field_of_view_deg say the same; give one of them")
    canonical = network_focal_length(network)
    if camera is not None:
        calibrated = read_camera(camera)
        return (Scale(calibrated, str(camera), focal_px, field_of_view_deg, canonical),
                other_network(calibrated, camera, network))
    flag = "focal_length_px" if focal_px is not None else "field_of_view_deg"
    if canonical is None and (focal_px or field_of_view_deg) is not None:
        raise UserError(
            f"--{flag}: the camera that {network} was trained for is unknown; write its "
            f'"focal_length" in picture widths into {network}.json, or give a --camera')
    return Scale(None, "", focal_px, field_of_view_deg, canonical), None


def other_network(
    camera: Camera, name: str | os.PathLike, network: str | os.PathLike
) -> str | None:
    """Warns of a calibration that was made with another network.

    A network and what was exported from it count as one, and so do a shipped network and its
    integers: their metres differ by 3 % at most, on average.

    Args:
        camera: The calibration.
        name: Its file.
        network: The file of the network that is used.

    Returns:
        The warning, or None.
    """
    if not os.path.isfile(network) or not camera.network_sha256:
        return None
    digests = {file_sha256(network), *exported_from(network)}
    if camera.network_sha256 in digests.union(*map(forms_of, digests)):
        return None
    return (f"{name} was made with {camera.network}, not with {os.fspath(network)}; calibrate "
            "again for right metres")
