"""Exports a student for phones and boards: a .tflite file and its description.

    python export.py                                        # the newest student below runs/
    python export.py --model=runs/student/student.keras --output=student.tflite --overwrite
    python export.py --quantization=int8 --data_dir=DIR     # DIR/{train,validation}/{rgb,depth}
    python export.py --quantization=qat --data_dir=DIR      # learned integers, in minutes
    python export.py --model=indoor_student_90m             # a shipped network
    python export.py --format=onnx                          # for other runtimes and compilers
"""

import os
import pathlib
import sys

from absl import flags

from mai_depth import command
from mai_depth import number_flags
from mai_depth.atomic import remove_abandoned
from mai_depth.environment import check_environment
from mai_depth.environment import start_tensorflow
from mai_depth.network.pretrained import named_file
from mai_depth.network.pretrained import network_file
from mai_depth.paths import expand
from mai_depth.paths import flag_path
from mai_depth.streams import printable

_ENDINGS = {"tflite": ".tflite", "saved_model": "_saved_model", "onnx": ".onnx"}

_MODEL = flags.DEFINE_string(
    "model", None, "The student's .keras file, or the name of a shipped network. Default: the "
    "newest student.keras in --workdir.")
_WORKDIR = flags.DEFINE_string("workdir", "runs", "Folder to search for a student.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "File to write (a folder for saved_model). Default: beside the student (here "
    "for a shipped network), named after --quantization. Its description is written to "
    "OUTPUT.json, its model card to an .md.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace --output if it exists.")
_FORMAT = flags.DEFINE_enum(
    "format", "tflite", ["tflite", "saved_model", "onnx"], "tflite for LiteRT, saved_model for TF "
    "Serving and TF.js, onnx for onnxruntime, OpenCV and compilers of accelerators.")
_QUANTIZATION = flags.DEFINE_enum(
    "quantization", "none", ["none", "float16", "dynamic", "int8", "qat"], "Number "
    "format of the weights, and for int8 and qat of the computation; qat first fine-tunes the "
    "student for it, as recipes/qat.flags does.")
_INPUT_DTYPE = flags.DEFINE_enum(
    "input_dtype", "float32", ["float32", "uint8"], "Input of the file: 0..255 as floats, or the "
    "camera's bytes.")
_UPSAMPLE = flags.DEFINE_enum(
    "upsample", "fast_bilinear", ["bilinear", "nearest", "fast_bilinear", "fast_nearest"],
    "How to enlarge the depth map; the fast forms give the same numbers in less time.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Pictures for verification, int8 and qat: DIR/SPLIT/{rgb,depth}/"
    "NAME.{png,jpg}. Default: those that the student was trained on, or else procedural scenes, "
    "rendered on the first run.")
_SPLIT = flags.DEFINE_string("split", "validation", "Split of --data_dir to verify with.")
_CALIBRATION_SPLIT = flags.DEFINE_string(
    "calibration_split", "train", "Split of --data_dir to calibrate int8 on; qat learns from "
    "all of it.")
_NUM_CALIBRATION = number_flags.define_integer(
    "num_calibration", 64, "Pictures to calibrate int8 on; at least 32.", 0, 100_000)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "~/.cache/mai_depth", "Folder for decoded pictures and the default scenes.")
_DEPTH_UNITS_PER_M = number_flags.define_float(
    "depth_units_per_m", 1000.0, "Units of the 16-bit depth files per metre.", 1e-3, 1e6)
_MISSING_DEPTH_VALUE = number_flags.define_integer(
    "missing_depth_value", None, "Another number in the depth files that means missing, besides 0 "
    "and 65535.", 0, 65535)
_ALLOW_RESIZE = flags.DEFINE_bool(
    "allow_resize", False, "Accept depth of another size than its picture if the aspect ratio is "
    "the same.")
_ALLOW_INACCURATE = flags.DEFINE_bool(
    "allow_inaccurate", False, "Write the file even if it differs from the Keras model by more "
    "than the limit.")


def main() -> None:
    """Finds the student, exports it and prints the result."""
    check_environment()
    model = _model()
    output = _output(model)
    start_tensorflow()  # it takes seconds: faults in the flags come first
    if _FORMAT.value == "onnx":
        from mai_depth.export.onnx_file import check_packages

        check_packages()
    from mai_depth.export.litert import ExportOptions
    from mai_depth.export.model_card import check_card
    from mai_depth.export.model_card import write_card
    from mai_depth.network.model_archive import read_config

    read_config(model)  # a wrong file is reported before rendering scenes takes a minute
    where = _choose_data(model)
    options = ExportOptions(_QUANTIZATION.value, _UPSAMPLE.value, _INPUT_DTYPE.value)
    check_card(output, _OVERWRITE.value)
    sidecar = _export(model, output, options, _pictures(_SPLIT.value))
    write_card(output, sidecar | {"check_data": where.name if where else "procedural scenes"})
    _report(output, sidecar, where)


def _choose_data(model: pathlib.Path) -> pathlib.Path | None:
    """The folder of --data_dir, or else of the run that made the student; None for the scenes."""
    from mai_depth.data.folder import has_split
    from mai_depth.export.run_data import data_of_run
    from mai_depth.export.run_data import unfinished

    if how_far := unfinished(model):
        _say(f"warning: {model}: its training is at {how_far}; the same train.py command continues")
    if not _DATA_DIR.value:
        for name, value in data_of_run(model).items():
            flags.FLAGS[name].parse(value)
        if _DATA_DIR.value and not has_split(_DATA_DIR.value, _SPLIT.value):
            flags.FLAGS["split"].parse(_CALIBRATION_SPLIT.value)  # validation was drawn from it
    if not _DATA_DIR.value and _QUANTIZATION.value in ("int8", "qat"):
        _say(f"warning: --quantization={_QUANTIZATION.value}: calibrated on procedural scenes, not "
             "on what your camera sees; give pictures of it as --data_dir=DIR")
    return expand(_DATA_DIR.value, "data_dir") if _DATA_DIR.value else None


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr)


def _export(model: pathlib.Path, output: pathlib.Path, options, pictures) -> dict:
    allowed = {"allow_inaccurate": _ALLOW_INACCURATE.value}
    if _FORMAT.value == "saved_model":
        from mai_depth.export.saved_model import export_saved_model

        return export_saved_model(model, output, options, pictures, **allowed)
    if _FORMAT.value == "onnx":
        from mai_depth.export.onnx_file import export_onnx

        return export_onnx(model, output, options, pictures, **allowed)
    if options.quantization == "qat":
        from mai_depth.export import quantized

        train = _pictures(_CALIBRATION_SPLIT.value)
        return quantized.train_quantized(
            model, output, train, pictures, quantized.recipe_for(len(train)),
            cache_dir=_cache_dir(), options=options, **allowed)
    from mai_depth.export.litert import export_tflite

    return export_tflite(model, output, options, pictures, calibration=_calibration(), **allowed)


def _model() -> pathlib.Path:
    from mai_depth.errors import UserError

    if _MODEL.value:
        return expand(network_file(_MODEL.value, "model"), "model")
    workdir = expand(_WORKDIR.value, "workdir")
    found = sorted(workdir.rglob("student.keras"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"{workdir}: no student.keras in it; run train.py, or give --model=PATH")
    return found[-1]


def _output(model: pathlib.Path) -> pathlib.Path:
    from mai_depth.errors import UserError

    if _FORMAT.value != "tflite" and _QUANTIZATION.value != "none":
        raise UserError(f"--quantization={_QUANTIZATION.value}: --format={_FORMAT.value} stays "
                        "float32; leave it out or give --format=tflite")
    suffix = "" if _QUANTIZATION.value == "none" else f"_{_QUANTIZATION.value}"
    ending = _ENDINGS[_FORMAT.value]
    shipped = _MODEL.value and named_file(_MODEL.value)
    folder = pathlib.Path() if shipped else model.parent
    output = flag_path(_OUTPUT) or folder / f"{model.stem}{suffix}{ending}"
    if ending.startswith(".") and output.suffix != ending:
        raise UserError(f"--output={output}: give it the suffix {ending}")
    if output.exists() and not _OVERWRITE.value:
        raise UserError(f"{output}: exists; give --overwrite to replace it, or another --output")
    if output.exists() and output.is_dir() != (_FORMAT.value == "saved_model"):
        raise UserError(f"{output}: a {'folder' if output.is_dir() else 'file'}, which "
                        f"--format={_FORMAT.value} does not write; give another --output")
    if not output.parent.is_dir():
        raise UserError(f"{output.parent}: no such folder; make it, or give another --output")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"{output.parent}: cannot be written; give another --output")
    remove_abandoned(output.parent)
    return output


def _cache_dir() -> str:
    return str(expand(_CACHE_DIR.value, "cache_dir"))


def _pictures(split: str):
    from mai_depth.data.sources import open_pictures

    return open_pictures(
        _DATA_DIR.value and str(expand(_DATA_DIR.value, "data_dir")), split, cache_dir=_cache_dir(),
        depth_units_per_m=_DEPTH_UNITS_PER_M.value,
        missing_depth_value=_MISSING_DEPTH_VALUE.value, allow_resize=_ALLOW_RESIZE.value)


def _calibration():
    from mai_depth.data.representative import representative

    if _QUANTIZATION.value != "int8":
        return None
    return representative(_pictures(_CALIBRATION_SPLIT.value), _NUM_CALIBRATION.value)


def _report(output: pathlib.Path, sidecar: dict, where: pathlib.Path | None) -> None:
    from mai_depth.export.verify import format_verification

    print(f"{output}: {sidecar['input']['dtype']} {sidecar['input']['shape']} "
          f"{sidecar['input']['name']} in, {sidecar['output']['dtype']} "
          f"{sidecar['output']['shape']} {sidecar['output']['name']} out")
    if _FORMAT.value == "onnx":
        print(f"{sidecar['size_bytes'] / 1e6:.2f} MB, opset {sidecar['opset']}")
    if _FORMAT.value == "tflite":
        print(f"{sidecar['size_bytes'] / 1e6:.2f} MB, {sidecar['macs'] / 1e6:.1f} M "
              f"multiply-accumulates, {sidecar['delegate_partitions']} delegate partition(s)")
    print(format_verification(sidecar["verification"], sidecar.get("upsample", "")))
    print(f"these pictures: {where / _SPLIT.value}" if where else
          "these pictures: procedural scenes; --data_dir=DIR takes your own")


if __name__ == "__main__":
    command.run(main)
