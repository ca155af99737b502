"""From a student's `.keras` file to a verified `.tflite` file and its sidecar."""

import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export.conversion import convert
from mai_depth.export.sidecar import describe_tflite
from mai_depth.export.sidecar import read_training
from mai_depth.export.sidecar import versions
from mai_depth.export.sidecar import write_with_sidecar
from mai_depth.export.stages import StudentParts
from mai_depth.export.stages import take_apart
from mai_depth.export.verify import Verification
from mai_depth.export.verify import verify
from mai_depth.network.model_file import load_model
from mai_depth.network.resize import upsample as enlarge
from mai_depth.tflite.editor import METADATA_NAME
from mai_depth.tflite.editor import Editor
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.runner import TfliteNetwork

MAX_PARTITIONS = 2
_FLOAT_CONVOLUTIONS = 2  # of an int8 graph: the first one and its hard-swish
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        quantization: See `conversion.convert`.
        upsample: One of `resize.METHODS`.
        input_dtype: See `conversion.convert`.
    """

    quantization: str = "none"
    upsample: str = "fast_bilinear"
    input_dtype: str = "float32"


def export_tflite(
    model_path: str | os.PathLike,
    output: str | os.PathLike,
    options: ExportOptions,
    pictures: Pairs,
    *,
    calibration: np.ndarray | None = None,
    core: bytes | None = None,
    allow_inaccurate: bool = False,
) -> dict[str, Any]:
    """Exports a student: converts, inspects, verifies, and only then writes.

    Args:
        model_path: The `.keras` file.
        output: The `.tflite` file; `output.json` is written beside it.
        options: What the file is like.
        pictures: Pictures and depth to verify with.
        calibration: For int8: pictures [count, height, width, 3], 0..255.
        core: For qat: the fine-tuned core, of `quantize.aware.IntegerCore.to_tflite`.
        allow_inaccurate: Write the file even if it is further from the Keras model than its
            format's limit.

    Returns:
        The content of the sidecar.

    Raises:
        UserError: A bad model, an operator that is not a builtin, a split or half-quantized graph,
            or a file that is not accurate.
    """
    model = load_model(model_path)
    parts = take_apart(model, model_path)
    editor = convert(parts, calibration=calibration, core=core, **dataclasses.asdict(options))
    with tempfile.TemporaryDirectory() as folder:
        draft = pathlib.Path(folder) / "draft.tflite"
        draft.write_bytes(editor.data())
        check_graph(draft, options.quantization)
        description = describe_tflite(draft)
        verification = verify(
            TfliteNetwork(draft), reference(model, parts, options.upsample), pictures,
            options.quantization)
    refuse_inaccurate(verification, output, allow_inaccurate)
    description = {
        "format": "tflite",
        **dataclasses.asdict(options),
        **describe_export(description, parts, model_path, verification),
    }
    data = _with_description(editor.data(), description)
    return write_with_sidecar(output, data, description, model_path, verification.protocols)


def reference(model: keras.Model, parts: StudentParts, upsample: str) -> keras.Model:
    """The Keras model that an export is compared with: plain layers, the same interpolation.

    Args:
        model: The student as it was trained, with bilinear upsampling.
        parts: Its parts.
        upsample: One of `resize.METHODS`.

    Returns:
        `model`, or the same with nearest upsampling.
    """
    method = upsample.removeprefix("fast_")
    if method == "bilinear":
        return model
    depth = model.get_layer("depth_low").output
    return keras.Model(model.input, enlarge(depth, parts.image_size, method))


def check_graph(path: str | os.PathLike, quantization: str) -> None:
    """Refuses a graph that would not run as it should on a phone.

    Args:
        path: A .tflite file.
        quantization: The requested one.

    Raises:
        UserError: A custom or flex operator, an int8 graph with a float convolution, or more than
            `MAX_PARTITIONS` partitions of the XNNPACK delegate.
    """
    file = TfliteFile(path)
    custom = sorted({op.name for op in file.ops() if op.custom})
    if custom:
        raise UserError(f"the graph needs {', '.join(custom)}, which is not a LiteRT builtin")
    if quantization in ("int8", "qat"):
        dtypes = {tensor.index: tensor.dtype for tensor in file.tensors()}
        integers = [
            {dtypes[op.inputs[0]], dtypes[op.inputs[1]], dtypes[op.outputs[0]]} == {"INT8"}
            for op in file.ops() if op.name in _CONVOLUTIONS]
        floats = integers[_FLOAT_CONVOLUTIONS:].count(False)
        if floats or not integers:
            raise UserError(f"{floats} convolutions are not int8 although --quantization="
                            f"{quantization}; give other calibration pictures")
    partitions = describe_tflite(path)["delegate_partitions"]
    if partitions > MAX_PARTITIONS:
        raise UserError(f"the delegate splits the graph into {partitions} parts, at most "
                        f"{MAX_PARTITIONS} are fast; export another student or --quantization")


def refuse_inaccurate(
    verification: Verification, output: str | os.PathLike, allow_inaccurate: bool
) -> None:
    """Raises `UserError` if the limit was not kept, or warns loudly if that is allowed."""
    if verification.passed:
        return
    if not allow_inaccurate:
        raise UserError(f"{output}: not written, not accurate: {verification}; --allow_inaccurate "
                        "writes it anyway")
    print(f"WARNING: NOT ACCURATE: {verification}")


def describe_export(
    graph: dict[str, Any],
    parts: StudentParts,
    model_path: str | os.PathLike,
    verification: Verification,
) -> dict[str, Any]:
    """Collects what a sidecar says, whatever the format.

    Args:
        graph: What is known of the graph, e.g. of `sidecar.describe_tflite`.
        parts: The student's parts.
        model_path: Its `.keras` file.
        verification: Of the exported file.

    Returns:
        JSON without the file's own size and checksum.
    """
    return graph | {
        "max_depth_m": parts.max_depth_m,
        "verification": verification.as_dict(),
        "keras_sha256": hashlib.sha256(pathlib.Path(model_path).read_bytes()).hexdigest(),
        "versions": versions(),
    } | read_training(model_path)


def _with_description(data: bytes, description: dict[str, Any]) -> bytes:
    """Puts the description into the file, with the file's final size."""
    size, described = 0, data
    while len(described) != size:
        size = len(described)
        editor = Editor(data)
        text = json.dumps(description | {"size_bytes": size}, allow_nan=False)
        editor.describe("mai_depth: one RGB picture in, depth in metres out", {METADATA_NAME: text})
        described = editor.data()
    return described
