"""Converts a folder of another camera or data set into one that train.py reads.

    python -m mai_depth.data.convert --input=DIR --output=NEW
    python train.py --flagfile=recipes/nyuv2.flags --data_dir=NEW

It prints what it recognised, a histogram of depth and what is missing, and draws NEW/sheet.png. If
it is killed or interrupted, the same command continues where it stopped. docs/own_data.md lists the
layouts.
"""

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.convert.conversion import Options
from mai_depth.data.convert.conversion import convert
from mai_depth.data.convert.formats import AUTO
from mai_depth.data.convert.formats import NAMES
from mai_depth.errors import UserError
from mai_depth.paths import flag_path

_INPUT = flags.DEFINE_string("input", None, "Folder with pictures and depth, in any known layout.")
_OUTPUT = flags.DEFINE_string("output", None, "New folder for SPLIT/rgb, SPLIT/depth, dataset.json "
                              "and sheet.png.")
_FORMAT = flags.DEFINE_enum(
    "format", AUTO, [AUTO, *NAMES], "The layout of --input; auto recognises it.")
_VALIDATION_SHARE = number_flags.define_float(
    "validation_share", 0.1, "Set this share of the pairs aside for validation: whole sequences, "
    "or the end of the last one. Folders train and validation of --input are kept instead.", 0.0,
    0.9)
_EVERY = number_flags.define_integer(
    "every", 1, "Take every Nth frame of a sequence: neighbours in a video are alike.", 1,
    1_000_000)
_FOCAL_LENGTH = number_flags.define_float(
    "focal_length", None, "Focal length of the pictures in --input, in picture widths (fx / "
    "width). Default: read from the recorder's file, if there is one.", 0.1, 20.0)
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", None, "Units of the depth files per metre. Default: those of the layout.",
    1e-3, 1e6)
_ON_BAD_SAMPLE = flags.DEFINE_enum(
    "on_bad_sample", "fail", ["fail", "skip"], "Stop at a broken pair, or skip it, up to 1 %.")
_LICENSE = flags.DEFINE_string(
    "license", None, "Licence of the pictures, in words; dataset.json passes it on to what is "
    "trained on them.")
_ORIGIN = flags.DEFINE_string(
    "origin", None, "Where the pictures come from, in words or as a URL; passed on likewise.")


def main() -> None:
    """Checks the two folders and converts."""
    source, output = flag_path(_INPUT), flag_path(_OUTPUT)
    if not source:
        raise UserError("--input: give the folder with pictures and depth")
    if not output:
        raise UserError("--output: give a new folder for the result")
    if not source.is_dir():
        raise UserError(f"--input={source}: no such folder; unpack an archive first")
    convert(source, output, Options(
        _FORMAT.value, _VALIDATION_SHARE.value, _EVERY.value, _FOCAL_LENGTH.value,
        _DEPTH_UNITS_PER_M.value, _ON_BAD_SAMPLE.value,
        _LICENSE.value, _ORIGIN.value), print)


if __name__ == "__main__":
    command.run(main)
