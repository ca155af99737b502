"""Depth of pictures, videos and cameras.

    python -m mai_depth.predict --input=photo.jpg --output=depth
    python -m mai_depth.predict --input=photos/ --model=student.tflite --write=color,ply
    python -m mai_depth.predict --input=clip.mp4 --write=side_by_side
    python -m mai_depth.predict --input=photo.jpg --camera=camera.json

A .tflite needs only numpy, pillow, absl-py and ai-edge-litert; tqdm, if installed, shows a bar.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import remove_abandoned
from mai_depth.colormap import COLORMAPS
from mai_depth.errors import UserError
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict import video
from mai_depth.predict.announced import Announced
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.depth_network import DepthNetwork
from mai_depth.predict.depth_network import chosen_network
from mai_depth.predict.depth_network import open_network
from mai_depth.predict.picture_list import VIDEO_SUFFIXES
from mai_depth.predict.picture_list import Entry
from mai_depth.predict.picture_list import list_pictures
from mai_depth.predict.placement import FITS
from mai_depth.predict.prediction import KINDS
from mai_depth.predict.prediction import Style
from mai_depth.predict.prediction import predict
from mai_depth.predict.prediction import write_prediction
from mai_depth.predict.scale import open_scale
from mai_depth.predict.steady import SteadyNetwork
from mai_depth.streams import printable
from mai_depth.tflite.graph import MAX_THREADS
from mai_depth.video_frames import is_address
from mai_depth.video_frames import read_frames

try:
    from tqdm import tqdm
except ImportError:  # on a board
    tqdm = None

_CAMERA_DIGITS = 4
_WHOLE = 0.9  # of the frames that a video's header promises, which may be an estimate

_INPUT = flags.DEFINE_string(
    "input", None, "A picture, a folder (with its subfolders), a .txt with one picture a line, a "
    "video file, or the number of a camera (Ctrl-C ends it).")
_OUTPUT = flags.DEFINE_string("output", "depth", "Folder for the results; keeps the input's tree.")
_MODEL = flags.DEFINE_string(
    "model", None, "A .keras or .tflite file, or the name of a shipped network. Default: "
    "indoor_student_90m.")
_WRITE = flags.DEFINE_list(
    "write", None, "What to write: depth (16-bit PNG, millimetres), npy (float32, metres), color, "
    "side_by_side, ply (points), separated by commas. Default: depth,color; of a video color.")
_FIT = flags.DEFINE_enum(
    "fit", "pad", FITS, "How to fit a picture of another aspect to the network: pad it, crop "
    "it to its middle (the rest is missing), or stretch it.")
_COLORMAP = flags.DEFINE_enum("colormap", "turbo", COLORMAPS, "Colours.")
_NEAR_M = number_flags.define_float(
    "near_m", None, "Depth of the warmest colour. Default: the picture's 2nd percentile.", 0.0,
    10_000.0)
_FAR_M = number_flags.define_float(
    "far_m", None, "Depth of the coldest colour. Default: the picture's 98th percentile.", 0.0,
    10_000.0)
_CAMERA = flags.DEFINE_string(
    "camera", None, "A calibration of mai_depth.calibrate: makes depth right for this camera.")
_FOCAL_LENGTH_PX = number_flags.define_float(
    "focal_length_px", None, "Focal length of the camera in pixels of the picture: scales depth, "
    "unless --camera does, and shapes the ply. Default: what EXIF says; else depth as it is.",
    1.0, 1e6)
_FIELD_OF_VIEW_DEG = number_flags.define_float(
    "field_of_view_deg", None, "The same, as the angle that the camera sees along the longer side. "
    "Where nothing is known a ply takes the lens that the network was trained for.", 1.0, 170.0)
_SMOOTH = flags.DEFINE_bool(
    "smooth", False, "Remove the flicker from a video's depth where nothing moves.")
_NUM_THREADS = number_flags.define_integer(
    "num_threads", min(os.cpu_count() or 1, MAX_THREADS), "Threads for one picture.", 1,
    MAX_THREADS)


def main() -> None:
    """Opens the input, then the network, and writes what was asked for."""
    if not _INPUT.value:
        raise UserError("--input: give a picture, folder, .txt list, video or camera number")
    style = _style()
    if _CAMERA.value:
        read_camera(expand(_CAMERA.value, "camera"))
    source, output = _source(), expand(_OUTPUT.value, "output")
    kinds = _kinds(_is_video(source))
    if _SMOOTH.value and not _is_video(source):
        raise UserError("--smooth: for videos and cameras only; leave it out for pictures")
    entries = _pictures(source, output)
    _make_output(output)
    path = chosen_network(_MODEL.value, _say)
    scale = _scale(path)
    network = open_network(path, _NUM_THREADS.value)
    if entries is None:
        _predict_video(source, output, network, kinds[0], style, scale)
    else:
        _predict_pictures(entries, output, network, kinds, style, scale)


def _source() -> pathlib.Path | int:
    if is_address(_INPUT.value):
        raise UserError(f"--input={_INPUT.value}: an address; download the file first, or watch "
                        "the stream with mai_depth.live")
    source = expand(_INPUT.value, "input")
    if _INPUT.value.isdecimal() and not source.exists():
        if len(_INPUT.value) > _CAMERA_DIGITS:
            raise UserError(f"--input={_INPUT.value}: no camera has such a number; give 0 for the "
                            "first one")
        return int(_INPUT.value)
    if not source.exists():
        raise UserError(f"--input={source}: no such file or folder; of several pictures give the "
                        "folder, or a .txt with one a line")
    return source


def _is_video(source: pathlib.Path | int) -> bool:
    return isinstance(source, int) or source.suffix.lower() in VIDEO_SUFFIXES


def _pictures(source: pathlib.Path | int, output: pathlib.Path) -> list[Entry] | None:
    """The pictures to predict; None for a video or a camera."""
    if isinstance(source, int) or _is_video(source):
        return None
    return list_pictures(source, output, _say)


def _style() -> Style:
    near, far = _NEAR_M.value, _FAR_M.value
    if near is not None and far is not None and near >= far:
        raise UserError(f"--near_m={near:g} --far_m={far:g}: near must be less than far")
    return Style(near, far, _COLORMAP.value)


def _kinds(is_video: bool) -> tuple[str, ...]:
    possible = ("color", "side_by_side") if is_video else KINDS
    chosen = _WRITE.value or (["color"] if is_video else ["depth", "color"])
    strange = [kind for kind in chosen if kind not in possible]
    if strange:
        what = "a video" if is_video else "a picture"
        raise UserError(f"--write={','.join(strange)}: of {what} there is {', '.join(possible)}")
    if is_video and len(chosen) > 1:
        raise UserError(f"--write={','.join(chosen)}: a video becomes one of {', '.join(possible)}")
    return tuple(chosen)


def _make_output(output: pathlib.Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        writable = os.access(output, os.W_OK | os.X_OK)
    except OSError as error:
        raise UserError(f"--output={output}: cannot be made ({error.strerror}); give another folder"
                        ) from error
    if not writable:
        raise UserError(f"--output={output}: cannot be written; give another folder")


def _scale(network: pathlib.Path) -> Announced:
    scale, warning = open_scale(
        network, flag_path(_CAMERA), _FOCAL_LENGTH_PX.value, _FIELD_OF_VIEW_DEG.value)
    if warning:
        _say(f"warning: {warning}")
    return Announced(scale, _say)


def _predict_pictures(
    entries: list[Entry], output: pathlib.Path, network: DepthNetwork, kinds: tuple[str, ...],
    style: Style, scale: Announced,
) -> None:
    for folder in {(output / stem).parent for _, stem in entries}:
        remove_abandoned(folder)
    skipped = 0
    for path, stem in tqdm(entries, unit="picture") if tqdm else entries:
        try:
            prediction = scale(predict(network, read_picture(path), _FIT.value), network)
            with _named(output / stem):
                shaped = scale.shaped(style, prediction.picture, network)
                write_prediction(output / stem, prediction, kinds, shaped)
        except UserError as error:
            message = str(error)
            _say(f"skipped: {message if str(path) in message else f'{path}: {message}'}")
            skipped += 1
    if skipped:
        raise UserError(f"{skipped} of {len(entries)} pictures skipped; see above")
    print(printable(f"{output}: {', '.join(kinds)} of {len(entries)} "
                    f"picture{'s' * (len(entries) != 1)}"))


def _predict_video(
    source: pathlib.Path | int, output: pathlib.Path, network: DepthNetwork, kind: str,
    style: Style, scale: Announced,
) -> None:
    is_camera = isinstance(source, int)
    name = f"camera{source}" if isinstance(source, int) else source.stem
    remove_abandoned(output)
    frames, rate, count = read_frames(
        source if isinstance(source, int) else os.fspath(source))
    bar = tqdm(frames, total=count, unit=" frames") if tqdm else frames
    path = output / f"{name}_{kind}.mp4"
    with _named(path):
        written = video.write_video(
            path, bar, rate, SteadyNetwork(network) if _SMOOTH.value else network,
            fit=_FIT.value, style=style, scale=scale,
            beside=kind == "side_by_side", ends_with_interrupt=is_camera)
    if count and written < _WHOLE * count:
        _say(f"warning: {source}: ends after {written} of its {count} frames; it may be damaged")
    print(printable(f"{path}: {written} frames"))


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
    """Turns a forbidden name or a missing permission into one line; a full disk ends the run."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.errno in command.FULL:
            raise
        reason = ("there is a file where its folder should be"
                  if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror)
        raise UserError(f"{error.filename2 or path}: cannot be written ({reason}); rename it, or "
                        "give another --output") from error


def _say(message: str) -> None:
    line = printable(message)
    if tqdm:
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
