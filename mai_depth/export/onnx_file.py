"""Export as an ONNX file, for onnxruntime, OpenCV and the compilers of accelerators."""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export.litert import ExportOptions
from mai_depth.export.litert import describe_export
from mai_depth.export.litert import reference
from mai_depth.export.litert import refuse_inaccurate
from mai_depth.export.onnx_graph import OPSET
from mai_depth.export.onnx_graph import onnx_model
from mai_depth.export.sidecar import describe_tensors
from mai_depth.export.sidecar import write_with_sidecar
from mai_depth.export.stages import take_apart
from mai_depth.export.verify import verify
from mai_depth.network.model_file import load_model
from mai_depth.tflite.editor import METADATA_NAME


def check_packages() -> None:
    """Refuses at once what would fail after the pictures are made.

    Raises:
        UserError: A package of the extra `onnx` cannot be imported.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(f"--format=onnx: needs onnx and onnxruntime ({error}); pip install "
                        "onnx onnxruntime") from error


def export_onnx(
    model_path: str | os.PathLike,
    output: str | os.PathLike,
    options: ExportOptions,
    pictures: Pairs,
    *,
    allow_inaccurate: bool = False,
) -> dict[str, Any]:
    """Exports a student as one ONNX file, verified with onnxruntime before it is written.

    Args:
        model_path: The `.keras` file.
        output: The `.onnx` file; `output.json` is written beside it.
        options: `input_dtype` and `upsample`, whose fast forms are written as the plain ones: they
            are made for LiteRT. The weights stay float32.
        pictures: Pictures and depth to verify with.
        allow_inaccurate: As in `litert.export_tflite`.

    Returns:
        The content of the sidecar.

    Raises:
        UserError: A missing package, a bad model, or a result that is not accurate.
    """
    check_packages()
    model = load_model(model_path)
    parts = take_apart(model, model_path)
    upsample = options.upsample.removeprefix("fast_")
    exported = onnx_model(parts, upsample, options.input_dtype)
    verification = verify(
        _runner(exported.SerializeToString(), options.input_dtype),
        reference(model, parts, upsample), pictures, "none")
    refuse_inaccurate(verification, output, allow_inaccurate)
    graph = {
        "format": "onnx",
        "opset": OPSET,
        "upsample": upsample,
        "input_dtype": options.input_dtype,
        **describe_tensors(parts.image_size, options.input_dtype),
        "operators": _operators(exported),
        "parameters": model.count_params(),
    }
    description = describe_export(graph, parts, model_path, verification)
    _describe(exported, description)
    data = exported.SerializeToString(deterministic=True)
    return write_with_sidecar(output, data, description, model_path, verification.protocols)


def _runner(data: bytes, dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def run(image: np.ndarray) -> np.ndarray:
        (depth,) = session.run(["depth_m"], {"image": image[None].astype(dtype)})
        return depth[0, ..., 0]

    return run


def _operators(model: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in model.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))


def _describe(model: Any, description: dict[str, Any]) -> None:
    """Puts the description into the file, as a .tflite has it."""
    model.doc_string = "mai_depth: one RGB picture in, depth in metres out"
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_NAME, json.dumps(description, allow_nan=False)
