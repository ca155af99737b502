"""Conversion of a student to LiteRT (TensorFlow Lite): builtin operators, a fixed batch of one."""

import numpy as np

from mai_depth.errors import UserError
from mai_depth.export.stages import StudentParts
from mai_depth.export.stages import input_stage
from mai_depth.export.stages import output_stage
from mai_depth.export.stages import rebuild
from mai_depth.network.converter import to_tflite
from mai_depth.quantize.aware import IntegerCore
from mai_depth.tflite.editor import Editor

MIN_CALIBRATION = 32


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
        quantization: One of none, float16, dynamic, int8 and qat.
        upsample: One of `resize.METHODS`.
        input_dtype: float32 or uint8: what the file takes, 0..255 either way. With uint8 and any
            quantization the picture is reduced as bytes, which is faster.
        calibration: For int8: [count, height, width, 3], 0..255.
        core: For qat: the bytes of a .tflite file, float32 in and out, from the scaled grid to
            `depth_logits`.

    Returns:
        The file: input `image` [1, height, width, 3], output `depth_m` [1, height, width, 1],
        float32 metres.

    Raises:
        UserError: The converter cannot express the model, or the calibration pictures are unusable.
    """
    if quantization == "int8":
        grids = scaled_grids(parts, check_calibration(calibration))
        core = IntegerCore(parts.core, grids).to_tflite()
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


def scaled_grids(parts: StudentParts, images: np.ndarray) -> np.ndarray:
    """Computes a core's input from pictures.

    Args:
        parts: The student.
        images: [count, height, width, 3], 0..255.

    Returns:
        float32 [count, *grid, 3].
    """
    reduction = input_stage(parts)
    return np.concatenate(
        [reduction.predict_on_batch(np.array(image, np.float32)[None]) for image in images])


def _assemble(parts: StudentParts, core: bytes, upsample: str) -> Editor:
    """Puts a converted core between the float parts of the network."""
    editor = Editor(to_tflite(input_stage(parts)))
    editor.append(core)
    editor.append(to_tflite(output_stage(parts, upsample)))
    return editor


def check_calibration(images: np.ndarray | None) -> np.ndarray:
    """Checks the pictures on which int8 ranges are measured.

    Given no pictures, or NaN, the converter silently writes a float file.

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
                            "fix --data_dir")
    if not any(np.ptp(image) > 0 for image in images):
        raise UserError("calibration: every picture is of one color; give real ones in --data_dir")
    return images
