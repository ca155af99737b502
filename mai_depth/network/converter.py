"""From a Keras model to the bytes of a .tflite file: one picture, LiteRT's builtin operators."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from mai_depth.errors import UserError


def to_tflite(
    model: Any,
    *,
    float16: bool = False,
    calibration: np.ndarray | None = None,
    fake_quantized: bool = False,
) -> bytes:
    """Converts a model for a batch of one.

    Args:
        model: Of Keras 3 or tf_keras, with one input.
        float16: Store the weights in 16 bits.
        calibration: Inputs [count, ...] on which the ranges of 8-bit integers are measured.
        fake_quantized: The model holds the ranges of its integers itself, as tfmot leaves it.

    Returns:
        The file.

    Raises:
        UserError: The converter cannot express the model.
    """
    import tensorflow as tf

    signature = tf.TensorSpec((1, *model.inputs[0].shape[1:]), tf.float32)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if float16 or fake_quantized or calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if float16:
        converter.target_spec.supported_types = [tf.float16]
    if calibration is not None:
        converter.representative_dataset = lambda: ([one[None]] for one in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _run(converter)


def _run(converter: Any) -> bytes:
    with quiet():
        try:
            return converter.convert()
        except Exception as error:  # the converter raises many types
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
            raise UserError(f"the LiteRT converter refused the model: {reason}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the converter, whose C++ half writes 200 lines to the file descriptors."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+") as sink:
        saved = [os.dup(descriptor) for descriptor in (1, 2)]
        try:
            for descriptor in (1, 2):
                os.dup2(sink.fileno(), descriptor)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
