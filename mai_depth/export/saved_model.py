"""Export as a SavedModel, for TF Serving, TF.js and anything else that runs TensorFlow."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mai_depth.atomic import atomic_folder
from mai_depth.atomic import write_json_atomic
from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export.litert import ExportOptions
from mai_depth.export.litert import describe_export
from mai_depth.export.litert import reference
from mai_depth.export.litert import refuse_inaccurate
from mai_depth.export.sidecar import describe_tensors
from mai_depth.export.sidecar import read_focal_length
from mai_depth.export.stages import rebuild
from mai_depth.export.stages import take_apart
from mai_depth.export.verify import verify
from mai_depth.network.converter import quiet
from mai_depth.network.model_file import load_model
from mai_depth.streams import printable

SIGNATURE = "serving_default"


def export_saved_model(
    model_path: str | os.PathLike,
    output: str | os.PathLike,
    options: ExportOptions,
    pictures: Pairs,
    *,
    allow_inaccurate: bool = False,
) -> dict[str, Any]:
    """Exports a student as a SavedModel folder; nothing appears there before it is verified.

    Args:
        model_path: The `.keras` file.
        output: The folder; `output.json` is written beside it.
        options: `upsample` and `input_dtype`; the weights stay float32.
        pictures: Pictures and depth to verify with.
        allow_inaccurate: As in `litert.export_tflite`.

    Returns:
        The content of the sidecar.

    Raises:
        UserError: A bad model, or a result that is not accurate.
    """
    output = pathlib.Path(output)
    model = load_model(model_path)
    parts = take_apart(model, model_path)
    exported = rebuild(parts, options.upsample, batch_size=None)  # servers batch requests
    with atomic_folder(output) as draft:
        _write(exported, draft, options.input_dtype, output)
        verification = verify(
            _runner(draft), reference(model, parts, options.upsample), pictures, "none")
        refuse_inaccurate(verification, output, allow_inaccurate)
    graph = {
        "format": "saved_model",
        "signature": SIGNATURE,
        "upsample": options.upsample,
        **describe_tensors(parts.image_size, options.input_dtype, batch_size=None),
        "parameters": model.count_params(),
    }
    sidecar = (describe_export(graph, parts, model_path, verification)
               | read_focal_length(model_path))
    sidecar["protocols"] = verification.protocols
    write_json_atomic(f"{output}.json", sidecar)
    return sidecar


def _write(
    model: keras.Model, folder: pathlib.Path, input_dtype: str, output: pathlib.Path
) -> None:
    import tensorflow as tf

    def serve(image):
        return {"depth_m": model(tf.cast(image, tf.float32), training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = keras.InputSpec(shape=model.inputs[0].shape, dtype=input_dtype, name="image")
    archive.add_endpoint(SIGNATURE, serve, input_signature=[spec])
    try:
        with quiet():
            archive.write_out(folder, verbose=False)
    except (OSError, tf.errors.OpError) as error:
        reason = printable(str(error)).rpartition(";")[2].strip()
        raise UserError(f"{output}: cannot be written ({reason}); free some space or give another "
                        "--output") from error


def _runner(folder: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(os.fspath(folder))
    function = loaded.signatures[SIGNATURE]
    dtype = function.structured_input_signature[1]["image"].dtype

    def run(image: np.ndarray) -> np.ndarray:
        _ = loaded  # its variables live as long as it
        return function(image=tf.cast(image[None], dtype))["depth_m"].numpy()[0, ..., 0]

    return run
