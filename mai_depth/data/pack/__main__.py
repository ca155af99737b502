"""Packs a folder of pictures and depth into a few hundred files that train.py reads like a folder.

    python -m mai_depth.data.pack --input=DIR --output=PACKED
    python train.py --flagfile=recipes/nyuv2.flags --data_dir=PACKED

Every picture is decoded once, so that no training meets a broken one; its bytes are stored
unchanged. If it is killed or interrupted, the same command continues where it stopped; on a
complete folder it verifies the checksums and packs damaged shards again.
"""

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.data.pack.packing import Options
from mai_depth.data.pack.packing import pack
from mai_depth.errors import UserError
from mai_depth.paths import flag_path

_INPUT = flags.DEFINE_string("input", None, "Folder with SPLIT/rgb and SPLIT/depth.")
_OUTPUT = flags.DEFINE_string("output", None, "New folder for the packed files.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the 16-bit depth files per metre; stored with the "
    "pictures.", 1e-3, 1e6)
_MISSING_DEPTH_VALUE = number_flags.define_integer(
    "missing_depth_value", None, "Another number in the depth files that means missing, besides 0 "
    "and 65535; stored with the pictures.", 0, 65535)
_ALLOW_RESIZE = flags.DEFINE_bool(
    "allow_resize", False, "Accept depth of another size than its picture, if the aspect agrees.")
_ON_BAD_SAMPLE = flags.DEFINE_enum(
    "on_bad_sample", "fail", ["fail", "skip"], "Stop at a broken pair, or skip it, up to 1 %.")


def main() -> None:
    """Checks the two folders and packs."""
    source, output = flag_path(_INPUT), flag_path(_OUTPUT)
    if not source:
        raise UserError("--input: give the folder with SPLIT/rgb and SPLIT/depth")
    if not output:
        raise UserError("--output: give a new folder for the result")
    if not source.is_dir():
        raise UserError(f"--input={source}: no such folder")
    pack(source, output, Options(
        _DEPTH_UNITS_PER_M.value, _MISSING_DEPTH_VALUE.value, _ALLOW_RESIZE.value,
        _ON_BAD_SAMPLE.value), print)


if __name__ == "__main__":
    command.run(main)
