"""Focal lengths: of a photograph by its EXIF, of a lens by its angle, of a network by its sidecar.

A network answers for the camera that it has learned. Of another camera, things of one size in the
picture are farther away by the ratio of the focal lengths (Yin et al. 2023, Metric3D, the canonical
camera), so depth is multiplied by it.
"""

import contextlib
import math
import os
import pathlib
from collections.abc import Iterator

from PIL import ExifTags
from PIL import Image

from mai_depth.checksum import file_sha256
from mai_depth.json_file import read_json
from mai_depth.network.pretrained import list_pretrained

KEY = "focal_length"  # in the sidecar of a network, in picture widths

_FILM_DIAGONAL_MM = math.hypot(36, 24)  # CIPA DCG-001: the diagonal's angle counts
_FILM_RANGE_MM = (5, 2000)
_CROPPED = 0.02  # by which the aspect of a picture that was only made smaller can be off


def focal_px_of_angle(angle_deg: float, size: tuple[int, int]) -> float:
    """Computes the focal length of a pinhole camera.

    Args:
        angle_deg: What the camera sees along the longer side of the picture.
        size: (width, height) of the picture.

    Returns:
        In pixels: `longer side / (2 tan(angle / 2))`.
    """
    return max(size) / (2 * math.tan(math.radians(angle_deg) / 2))


def angle_of_focal_px(focal_px: float, size: tuple[int, int]) -> float:
    """The inverse of `focal_px_of_angle`, in degrees."""
    return math.degrees(2 * math.atan(max(size) / (2 * focal_px)))


def in_picture_widths(
    focal_px: float, size: tuple[int, int], network_size: tuple[int, int]
) -> float:
    """Converts a focal length to widths of what a network sees: the picture, padded to its aspect.

    Args:
        focal_px: In pixels of the picture.
        size: (width, height) of the picture.
        network_size: (width, height) of the network's input.

    Returns:
        In picture widths; of a picture of the network's aspect `focal_px / width`.
    """
    return focal_px / _padded_width(size, network_size)


def in_pixels(widths: float, size: tuple[int, int], network_size: tuple[int, int]) -> float:
    """The inverse of `in_picture_widths`."""
    return widths * _padded_width(size, network_size)


def exif_focal_px(image: Image.Image, size: tuple[int, int]) -> float | None:
    """Reads the focal length of a photograph from its EXIF, `FocalLengthIn35mmFilm`.

    Args:
        image: Of `open_picture`, decoded: the EXIF of a PNG may stand behind its pixels.
        size: (width, height) as stored; a JPEG may have been decoded at a fraction of it.

    Returns:
        In pixels; None where the file does not say, or was cropped afterwards and so describes
        another picture.
    """
    try:
        exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
        film_mm = float(exif.get(ExifTags.Base.FocalLengthIn35mmFilm, 0))
        taken = (float(exif.get(ExifTags.Base.ExifImageWidth, 0)),
                 float(exif.get(ExifTags.Base.ExifImageHeight, 0)))
    except Exception:  # Pillow raises many types for a damaged EXIF; the picture is good
        return None
    if not _FILM_RANGE_MM[0] <= film_mm <= _FILM_RANGE_MM[1] or _is_cropped(size, taken):
        return None
    return film_mm / _FILM_DIAGONAL_MM * math.hypot(*size)


def network_focal_length(path: str | os.PathLike) -> float | None:
    """Reads for which camera a network answers.

    Args:
        path: The `.keras` or `.tflite` file; its sidecar is `PATH.json` or `NAME.json`, and of a
            shipped network the index.

    Returns:
        The canonical focal length in picture widths, None where it is unknown.
    """
    for sidecar in _sidecars(path):
        if KEY in sidecar:
            return _checked(sidecar[KEY])
    try:
        digest = file_sha256(path)
    except OSError:  # opening the network gives a better message
        return None
    return next((_checked(entry.get(KEY)) for entry in list_pretrained()
                 if entry["sha256"] == digest), None)


def exported_from(path: str | os.PathLike) -> set[str]:
    """Reads from which `.keras` file a `.tflite` was exported.

    Args:
        path: The `.tflite` file, beside its sidecar.

    Returns:
        The checksum of that file; empty where no sidecar says it.
    """
    return {str(sidecar["keras_sha256"]) for sidecar in _sidecars(path)
            if "keras_sha256" in sidecar}


def _padded_width(size: tuple[int, int], network_size: tuple[int, int]) -> float:
    width, height = size
    return max(width, height * network_size[0] / network_size[1])


def _sidecars(path: str | os.PathLike) -> Iterator[dict]:
    """Yields what can be read of the files that may stand beside a network."""
    path = pathlib.Path(path)
    for sidecar in (pathlib.Path(f"{path}.json"), path.with_suffix(".json")):
        with contextlib.suppress(OSError, ValueError):
            yield read_json(sidecar)


def _is_cropped(size: tuple[int, int], taken: tuple[float, float]) -> bool:
    if min(taken) <= 0:
        return False
    aspects = [max(sides) / min(sides) for sides in (size, taken)]
    return abs(aspects[0] / aspects[1] - 1) > _CROPPED


def _checked(focal_length: object) -> float | None:
    if isinstance(focal_length, int | float) and 0.1 < focal_length < 100:
        return float(focal_length)
    return None
