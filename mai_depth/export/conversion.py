"""Conversion of a student to LiteRT (TensorFlow Lite): builtin operators, a fixed batch of one."""

import tempfile

import keras
import numpy as np

from mai_depth.errors import UserError
from mai_depth.export.stages import StudentParts
from mai_depth.export.stages import input_stage
from mai_depth.export.stages import output_stage
from mai_depth.export.stages import rebuild
from mai_depth.network.converter import to_tflite
from mai_depth.quantize.integer_core import integer_core
from mai_depth.quantize.integer_core import measure_ranges
from mai_depth.tflite.editor import Editor
from mai_depth.tflite.graph import open_quietly

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "qat")
INPUT_DTYPES = ("float32", "uint8")
MIN_CALIBRATION = 32
_SMALLEST_SHARES = (0.1, 0.2, 0.4)


def convert(
    parts: StudentParts,
    *,
    quantization: str = "none",
    upsample: str = "fast_bilinear",
    input_dtype: str = "float32",
    calibration: np.ndarray | None = None,
    core: bytes | None = None,
) -> Editor:
    """Converts a student.

    Args:
        parts: The student, of `stages.take_apart`.
        quantization: One of `QUANTIZATIONS`.
        upsample: One of `resize.METHODS`.
        input_dtype: One of `INPUT_DTYPES`: what the file takes, 0..255 either way. With uint8 and
            any quantization the picture is reduced as bytes, which is faster.
        calibration: For int8: [count, height, width, 3], 0..255.
        core: For qat: the bytes of a .tflite file, float32 in and out, from the scaled grid to
            `depth_logits`.

    Returns:
        The file: input `image` [1, height, width, 3], output `depth_m` [1, height, width, 1],
        float32 metres.

    Raises:
        UserError: The converter cannot express the model, or the calibration pictures are of no
            use.
    """
    if quantization == "int8":
        core = _integer_core(parts, check_calibration(calibration))
    if core is not None:
        editor = _assemble(parts, core, upsample)
    else:
        editor = Editor(to_tflite(rebuild(parts, upsample), float16=quantization == "float16"))
    if quantization == "dynamic":
        editor.quantize_convolutions()
    if input_dtype == "uint8":
        # Half a grey level is 3 mm of depth on average: nothing beside what the other formats
        # round, but the float file gives what Keras gives.
        editor.take_bytes(resize=quantization != "none")
    editor.name("image", "depth_m")
    return editor


def _integer_core(parts: StudentParts, images: np.ndarray) -> bytes:
    """The part of a student that holds its convolutions, in 8-bit integers, float in and out.

    How evenly its channels are best scaled depends on the weights: the best of a few is taken.
    """
    reduction = input_stage(parts)
    grids = np.concatenate(
        [reduction.predict_on_batch(np.array(image, np.float32)[None]) for image in images])
    ranges = measure_ranges(parts.core, grids)
    candidates = []
    for smallest in _SMALLEST_SHARES:
        editor = Editor(to_tflite(integer_core(parts.core, ranges, smallest), calibration=grids))
        editor.widen_dead_ranges()
        editor.saturate_hard_swish()
        candidates.append(editor.data())
    return min(candidates, key=lambda core: _core_error(core, parts.core, grids[::4]))


def _core_error(data: bytes, core: keras.Model, grids: np.ndarray) -> float:
    """What si-RMSE sees of it: the deviation of log depth within a picture."""
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(data)
        file.flush()
        interpreter = open_quietly(file.name)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    errors = []
    for grid in grids:
        interpreter.set_tensor(source["index"], grid[None])
        interpreter.invoke()
        logits = interpreter.get_tensor(target["index"]), core.predict_on_batch(grid[None])
        # log(sigmoid(x)) = -log(1 + exp(-x))
        depth, expected = (-np.logaddexp(0.0, -np.asarray(x, np.float64)) for x in logits)
        errors.append(np.std(depth - expected))
    return float(np.mean(errors))


def _assemble(parts: StudentParts, core: bytes, upsample: str) -> Editor:
    """Puts a converted core between the float parts of the network."""
    editor = Editor(to_tflite(input_stage(parts)))
    editor.append(core)
    editor.append(to_tflite(output_stage(parts, upsample)))
    return editor


def check_calibration(images: np.ndarray | None) -> np.ndarray:
    """Checks what ranges of int8 numbers are to be measured on.

    The converter makes a float file of no pictures, or of NaN, without a word.

    Args:
        images: [count, height, width, 3], 0..255.

    Returns:
        The same.

    Raises:
        UserError: Too few, not finite, out of range, or without any contrast.
    """
    count = 0 if images is None else len(images)
    if count < MIN_CALIBRATION:
        raise UserError(f"calibration: {count} pictures, at least {MIN_CALIBRATION} are needed; "
                        "give more in --data_dir or raise --num_calibration")
    for image in images:
        if not np.isfinite(image).all() or np.min(image) < 0 or np.max(image) > 255:
            raise UserError("calibration: a picture holds NaN or numbers outside 0..255; "
                            "mend --data_dir")
    if not any(np.ptp(image) > 0 for image in images):
        raise UserError("calibration: every picture is of one color; give real ones in --data_dir")
    return images
