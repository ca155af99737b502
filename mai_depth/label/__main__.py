"""Labels pictures without depth: a teacher's answers become a training folder.

    python -m mai_depth.label --input=photos --teacher=teacher.keras --output=labelled
    python -m mai_depth.label --input=clip.mp4 --teacher=a.keras,b.keras --output=labelled
    python -m mai_depth.label --input=photos --teacher=a.keras \
        --teacher_preset=depth_anything_v2_small --output=labelled

After a kill or an interruption the same command continues. With --engine=ray the GPUs or cores of a
Ray cluster share the pictures.
"""

import os
import pathlib
import sys

from absl import flags
from tqdm import tqdm

from mai_depth import command
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.errors import UserError
from mai_depth.label.label_sheet import save_label_sheet
from mai_depth.label.labelled_folder import LabelledFolder
from mai_depth.label.ray_engine import label_by_ray
from mai_depth.label.ray_engine import wait_for_actors
from mai_depth.network.depth_anything import LICENSES
from mai_depth.network.model_archive import TEACHER_BYTES
from mai_depth.network.model_archive import read_config
from mai_depth.network.pretrained import network_file
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.predict.picture_list import VIDEO_SUFFIXES
from mai_depth.predict.picture_list import list_pictures
from mai_depth.streams import printable
from mai_depth.video_frames import read_frames
from mai_depth.workdir import locked
from mai_depth.workdir import make_workdir

_INPUT = flags.DEFINE_string(
    "input", None, "A picture, a folder (with its subfolders), a .txt with one picture per line, "
    "or a video file, from which only frames that differ are taken.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder for the labels: OUTPUT/train/{rgb,depth} is what train.py reads.")
_TEACHER = flags.DEFINE_list(
    "teacher", [], ".keras depth models, or names of shipped networks, separated by commas; their "
    "answers are averaged.")
_TEACHER_PRESET = flags.DEFINE_enum(
    "teacher_preset", None, sorted(LICENSES), "Depth Anything V2, downloaded on first use; needs "
    "pip install -e '.[hub]'. Its depth has no unit: give a metric --teacher as well, or inverse "
    "depth is written. Licences of the weights: small Apache-2.0; base and large CC-BY-NC-4.0 (no "
    "commercial use).")
_ENGINE = flags.DEFINE_enum(
    "engine", "local", ["local", "ray"], "Label in this process, or in the actors of a Ray cluster "
    "(pip install 'mai_depth[scale]'), one per GPU or core; without a cluster, those of this "
    "machine.")
_LICENSE = flags.DEFINE_string(
    "license", None, "Licence of the pictures, in words; labels.json passes it on to what is "
    "trained on them.")
_ORIGIN = flags.DEFINE_string(
    "origin", None, "Where the pictures come from, in words or as a URL; passed on likewise.")


def main() -> None:
    """Checks the flags and the pictures, loads the teachers, and labels what has no label."""
    check_environment()
    sources, source = _teachers(), _source()
    if not _OUTPUT.value:
        raise UserError("--output: give the folder for the labels")
    output = expand(_OUTPUT.value, "output")
    video, entries = None, []
    if source.suffix.lower() in VIDEO_SUFFIXES:
        if _ENGINE.value == "ray":
            raise UserError(f"--engine=ray: {source} is a video, whose frames one process reads in "
                            "turn; leave --engine out")
        frames, _, count = read_frames(os.fspath(source))
        video = frames, count
    else:
        entries = list_pictures(source, output, _say)
    with locked(make_workdir(output, "output"), "output"):
        wait_for_actors(output)
        start_tensorflow()  # it takes seconds: faults in the flags come first
        from mai_depth.label.labelling import label
        from mai_depth.label.labelling import left_to_label
        from mai_depth.label.labelling import unlabelled_frames
        from mai_depth.label.labelling import unlabelled_pictures
        from mai_depth.label.teachers import open_teacher

        teachers = [open_teacher(name) for name in sources]
        folder = LabelledFolder(
            output, os.path.abspath(source), [teacher.describe() for teacher in teachers],
            {flag.name: flag.value for flag in (_LICENSE, _ORIGIN) if flag.value})
        if _ENGINE.value == "ray":
            del teachers  # each actor opens its own
            skipped = label_by_ray(*left_to_label(entries, folder), folder, sources, _say)
        else:
            unlabelled = (unlabelled_frames(source.stem, *video, folder) if video
                          else unlabelled_pictures(entries, folder))
            skipped = label(unlabelled, folder, teachers, _say)
        _finish(folder, skipped)


def _teachers() -> list[str]:
    sources = [os.fspath(expand(network_file(name, "teacher"), "teacher"))
               for name in _TEACHER.value]
    for path in sources:
        read_config(path, TEACHER_BYTES)
    sources += [_TEACHER_PRESET.value] if _TEACHER_PRESET.value else []
    if not sources:
        raise UserError("--teacher: give a .keras depth model, or a --teacher_preset")
    return sources


def _source() -> pathlib.Path:
    source = flag_path(_INPUT)
    if source is None:
        raise UserError("--input: give a picture, a folder, a .txt list or a video")
    if not source.exists():
        raise UserError(f"--input={source}: no such file or folder")
    return source


def _finish(folder: LabelledFolder, skipped: int) -> None:
    count = folder.finish(skipped)
    if count:
        sheet = folder.path / "sheet.png"
        shown = save_label_sheet(sheet, folder.pairs(), folder.is_metric)
        print(f"{folder.path}: {count} labelled pictures; {sheet} shows {shown} of them")
    if skipped:
        raise UserError(f"{skipped} {'picture' if skipped == 1 else 'pictures'} skipped; see above")


def _say(message: str) -> None:
    tqdm.write(printable(message), file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
