"""What calibrates a camera: distances at points of photographs, or pictures with depth."""

import dataclasses
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from mai_depth.data.folder import PairFiles
from mai_depth.data.folder import has_split
from mai_depth.data.folder import list_pairs
from mai_depth.depth import read_depth
from mai_depth.depth import valid_mask
from mai_depth.errors import UserError
from mai_depth.predict.calibration import mean_depth_ratio
from mai_depth.predict.camera_picture import VIEW_SIDE
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.prediction import Prediction
from mai_depth.predict.prediction import predict

_SPLITS = ("train", "validation")


@dataclasses.dataclass(frozen=True)
class Point:
    """A measured distance.

    Attributes:
        picture: The photograph.
        column: Of the point in the upright picture, in pixels from the left.
        row: From the top.
        distance_m: From the camera, along its axis.
    """

    picture: pathlib.Path
    column: int
    row: int
    distance_m: float

    def __str__(self) -> str:
        return f"{self.picture} {self.column},{self.row} ({self.distance_m:g} m)"


@dataclasses.dataclass(frozen=True)
class Observation:
    """What a network answered where the distance is known.

    Attributes:
        name: Of the picture and the point.
        answered_m: By the network, in metres.
        measured_m: The truth.
        size: (width, height) of the picture.
        focal_px: Its focal length by its EXIF, None where that does not say it.
    """

    name: str
    answered_m: float
    measured_m: float
    size: tuple[int, int]
    focal_px: float | None


def observe_points(network: DepthNetwork, points: Sequence[Point]) -> Iterator[Observation]:
    """Asks a network for the depth of points; a photograph is read once for all of its own.

    Args:
        network: The network.
        points: The points.

    Yields:
        One observation for each point, picture by picture.

    Raises:
        UserError: A picture cannot be read, or a point lies outside or where no depth is.
    """
    for path in dict.fromkeys(point.picture for point in points):
        picture = read_picture(path)
        own = [point for point in points if point.picture == path]
        for point in own:
            _refuse_outside(point, picture)
        prediction = predict(network, picture)
        for point in own:
            yield Observation(str(point), depth_at(prediction, point), point.distance_m,
                              picture.size, picture.focal_px)


def depth_at(prediction: Prediction, point: Point) -> float:
    """Gives the depth of a prediction at a point in metres; `UserError` where it has none."""
    size = prediction.picture.view_size(VIEW_SIDE)
    column, row = (side * at // whole for side, at, whole in zip(
        size, (point.column, point.row), prediction.picture.size, strict=True))
    depth_m = prediction.depth_m(size)[row, column]
    if not valid_mask(depth_m):
        raise UserError(f"--point={point.column},{point.row}: the network answers no depth there; "
                        "give another point")
    return float(depth_m)


def list_measured(folder: pathlib.Path) -> list[PairFiles]:
    """Lists the pictures with depth of a folder.

    Args:
        folder: Holds `rgb` and `depth`, or splits that do.

    Returns:
        The pairs.

    Raises:
        UserError: There is none.
    """
    splits = [folder / name for name in _SPLITS if has_split(folder, name)]
    if not splits and not (folder / "rgb").is_dir():
        raise UserError(f"--input={folder}: holds no rgb and depth folders; give a photo with "
                        "--point and --distance_m, or a folder of pictures with depth")
    return [pair for split in splits or [folder] for pair in list_pairs(split)]


def observe_pairs(
    network: DepthNetwork, pairs: Iterable[PairFiles], units_per_m: float
) -> Iterator[Observation]:
    """Asks a network for pictures whose depth is known; each is one observation.

    Args:
        network: The network.
        pairs: Of `list_measured`.
        units_per_m: Of the depth files.

    Yields:
        One observation for each pair; a map without any depth is passed over.
    """
    for pair in pairs:
        measured = read_depth(pair.depth.path, units_per_m)
        picture = read_picture(pair.rgb.path)
        answered = predict(network, picture).depth_m(measured.shape[::-1])
        if valid_mask(measured).any():
            yield Observation(str(pair.rgb.path), 1.0, mean_depth_ratio(answered, measured),
                              picture.size, picture.focal_px)


def _refuse_outside(point: Point, picture: CameraPicture) -> None:
    width, height = picture.size
    if point.column >= width or point.row >= height:
        raise UserError(f"--point={point.column},{point.row}: outside of {point.picture}, which "
                        f"has {width}x{height} pixels; count from the upper left corner")
