"""Makes depth right for one's own camera: one factor from measured distances.

    python -m mai_depth.calibrate --input=photo.jpg --point=320,240 --distance_m=1.85 \
        --output=camera.json
    python -m mai_depth.calibrate --input=pairs --output=camera.json

--point and --distance_m may be repeated, in the same order; --input as well, then each photo has
one point. Of a folder every picture with depth (rgb/NAME.jpg, depth/NAME.png) is a point. Then give
--camera=camera.json to mai_depth.predict, mai_depth.live and benchmark.
"""

import os
import pathlib
import re
import sys
from collections.abc import Iterator

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.calibrate.observations import Observation
from mai_depth.calibrate.observations import Point
from mai_depth.calibrate.observations import list_measured
from mai_depth.calibrate.observations import observe_pairs
from mai_depth.calibrate.observations import observe_points
from mai_depth.checksum import file_sha256
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.predict.calibration import DISAGREES
from mai_depth.predict.calibration import Fit
from mai_depth.predict.calibration import fit_scale
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_file import write_camera
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.depth_network import chosen_network
from mai_depth.predict.depth_network import open_network
from mai_depth.streams import printable
from mai_depth.tflite.graph import MAX_THREADS

try:
    from tqdm import tqdm
except ImportError:  # on a board
    tqdm = None

_INPUT = flags.DEFINE_multi_string(
    "input", [], "A photo of the camera, or a folder of its pictures with depth.")
_POINT = flags.DEFINE_multi_string(
    "point", [], "column,row of a point in the photo, in pixels from the upper left corner.")
_DISTANCE_M = number_flags.define_multi_float(
    "distance_m", "How far from the camera the point is, along the direction it looks in.", 1e-3,
    10_000.0)
_OUTPUT = flags.DEFINE_string("output", "camera.json", "The calibration to write.")
_MODEL = flags.DEFINE_string(
    "model", None, "The .keras or .tflite file that you will use. Default: as mai_depth.predict.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "For a folder: units of its depth files per metre.", 1e-3, 1e6)

_NAMED = 5  # points that disagree
_USUAL = 10.0  # a factor beyond which a distance was probably typed in another unit


def main() -> None:
    """Checks the flags, asks the network, fits and writes."""
    output = _output()
    points, folder = _points()
    pairs = list_measured(folder) if folder else []
    model = chosen_network(_MODEL.value, _say)
    network = open_network(model, min(os.cpu_count() or 1, MAX_THREADS))
    observations = list(_observe(network, points, pairs))
    if not observations:
        raise UserError(f"--input={folder}: no picture has any depth; give another folder")
    # Pictures that are turned, or of another lens, count as if they were like the first.
    first = Camera(1.0, size=observations[0].size, focal_px=observations[0].focal_px)
    network_size = network.input_size[::-1]
    fit = fit_scale(
        [seen.answered_m * first.factor(seen.size, seen.focal_px, network_size)
         for seen in observations], [seen.measured_m for seen in observations])
    camera = Camera(fit.scale, fit.standard_error, len(observations), model.name,
                    file_sha256(model), first.size, first.focal_px)
    write_camera(output, camera)
    _warn(fit, observations)
    print(f"{output}: {camera}; give it as --camera")


def _observe(network: DepthNetwork, points: list[Point], pairs: list) -> Iterator[Observation]:
    if points:
        return observe_points(network, points)
    bar = tqdm(pairs, unit="picture") if tqdm else pairs
    return observe_pairs(network, bar, _DEPTH_UNITS_PER_M.value)


def _points() -> tuple[list[Point], pathlib.Path | None]:
    """The points, or the folder of pictures with depth."""
    inputs = [expand(value, "input") for value in _INPUT.value]
    if not inputs:
        raise UserError("--input: give a photo of the camera, or a folder of pictures with depth")
    for path in inputs:
        if not path.exists():
            raise UserError(f"--input={path}: no such file or folder")
    if folders := [path for path in inputs if path.is_dir()]:
        if len(inputs) > 1 or _POINT.value or _DISTANCE_M.value:
            raise UserError(f"--input={folders[0]}: a folder stands alone: its depth files give "
                            "the distances; leave the other --input, --point and --distance_m out")
        return [], folders[0]
    if not _POINT.value or len(_POINT.value) != len(_DISTANCE_M.value):
        raise UserError(f"--point, --distance_m: {len(_POINT.value)} points and "
                        f"{len(_DISTANCE_M.value)} distances; give one distance for each point")
    if len(inputs) not in (1, len(_POINT.value)):
        raise UserError(f"--input: {len(inputs)} photos for {len(_POINT.value)} points; give one "
                        "photo for all points, or one for each")
    inputs *= len(_POINT.value) // len(inputs)
    return [Point(path, *_position(text), metres) for path, text, metres
            in zip(inputs, _POINT.value, _DISTANCE_M.value, strict=True)], None


def _position(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,6})\s*,\s*(\d{1,6})\s*", text, re.ASCII)
    if not match:
        raise UserError(f"--point={text}: give column,row in whole pixels, for instance 320,240")
    return int(match[1]), int(match[2])


def _output() -> pathlib.Path:
    output = expand(_OUTPUT.value, "output")
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output={output}: its folder is missing; make it, or give another")
    if output.exists():  # nothing but an older calibration is replaced
        read_camera(output, "output")
    return output


def _warn(fit: Fit, observations: list[Observation]) -> None:
    if not 1 / _USUAL < fit.scale < _USUAL:
        _say(f"warning: depth x {fit.scale:.3g} is more than any lens does; are the distances in "
             "metres?")
    far = fit.disagreeing()
    for index in far[:_NAMED]:
        _say(f"warning: {observations[index].name}: off by a factor of {fit.off[index]:.2f}, more "
             f"than {DISAGREES}; measure again, or leave it out")
    if len(far) > _NAMED:
        _say(f"warning: {len(far) - _NAMED} more of {len(observations)} points are off by more "
             f"than {DISAGREES}")


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
