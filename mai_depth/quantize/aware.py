"""Quantization-aware fine-tuning: the student learns to do its work in 8-bit integers.

tensorflow-model-optimization speaks tf_keras alone: the student is built once more in tf_keras,
takes over the weights, is written in its integer form and every layer of it is wrapped so that it
computes with the 256 numbers that it will have on the phone (Jacob et al., 2018).
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mai_depth.errors import UserError
from mai_depth.json_file import read_json
from mai_depth.network.converter import to_tflite
from mai_depth.network.student import build_student
from mai_depth.quantize.integer_form import CORE
from mai_depth.quantize.integer_form import integer_form
from mai_depth.quantize.integer_ranges import measure_ranges
from mai_depth.quantize.integer_ranges import measure_scales

_BIAS_SHARE = 1e-4
_MIN_KERNEL = 1e-6
_MAX_DIFFERENCE_M = 1e-2  # 1e-5 was measured


def rebuild_student(model: keras.Model, path: str | os.PathLike) -> Any:
    """Builds a student of Keras 3 once more, in tf_keras.

    Args:
        model: A student, of `model_file.load_model`.
        path: Its file; the `.json` of its own name beside it holds the builder's arguments.

    Returns:
        A tf_keras model of the same function (1e-5).

    Raises:
        UserError: The arguments are missing, or of another network.
    """
    import tf_keras

    arguments = _builder_arguments(path)
    try:
        twin = build_student(**arguments, framework=tf_keras)
    except TypeError as error:
        raise UserError(f"{path}: no student, but another network of train.py; give a student to "
                        "quantize") from error
    weights = model.get_weights()
    if [w.shape for w in weights] != [w.shape for w in twin.get_weights()]:
        raise UserError(f"{_description(path)}: describes another network than {path}; put the "
                        "file there that train.py wrote beside it")
    twin.set_weights(weights)
    picture = np.random.default_rng(0).uniform(0, 255, (1, *model.inputs[0].shape[1:]))
    answers = [one.predict_on_batch(picture.astype(np.float32)) for one in (model, twin)]
    if np.ptp(answers, axis=0).max() > _MAX_DIFFERENCE_M:
        raise UserError(f"{path}: made by another version of mai_depth, which builds another "
                        "network; train again")
    return twin


def quantize(twin: Any, images: Any) -> Any:
    """Writes a student in its integer form and makes it compute with integers' precision.

    Args:
        twin: Of `rebuild_student`.
        images: Iterable of pictures [batch, *view, 3], RGB 0..255: what the ranges of the
            integers are measured on.

    Returns:
        A tf_keras model with the same layer names as `integer_form`'s.
    """
    import tf_keras

    with _tfmot() as tfmot:
        images = list(images)
        scales = measure_scales(integer_form(twin, tf_keras), tf_keras, images)
        ranges = measure_ranges(integer_form(twin, tf_keras, scales), tf_keras, images)

        def wrap(layer: Any) -> Any:
            quantizer = tfmot.quantizers.FixedQuantizer(8, *ranges[layer.name], narrow_range=False)
            # tfmot would train the kernel of a gate too, which is exact in integers as it is.
            kernel = _KERNELS.get(type(layer).__name__) if layer.trainable else None
            config = _Integers(kernel, quantizer)
            return tfmot.QuantizeWrapperV2(layer, config, name_prefix="")

        return integer_form(twin, tf_keras, scales, wrap)


def convert_core(model: Any) -> bytes:
    """Converts what of a quantized student computes with integers.

    Args:
        model: Of `quantize`, fine-tuned.

    Returns:
        A .tflite file from the scaled picture [1, *grid, 3] to `depth_logits` [1, h, w, 1], both
        float32; between them there are integers alone.
    """
    import tf_keras

    start = model.get_layer(CORE).input
    core = tf_keras.Model(start, model.get_layer("depth_logits").output)
    return to_tflite(core, fake_quantized=True)


class Channels:
    """What tfmot calls a Quantizer: a kernel in 255 steps, of another size for each channel.

    Args:
        bias: The layer's, [channels].
        depthwise: Whether the channels are those of [height, width, channels, 1].
    """

    def __init__(self, bias: Any, depthwise: bool):
        self.bias = bias
        self.depthwise = depthwise

    def build(self, shape: Any, name: str, layer: Any) -> None:
        return None  # nothing to remember: the range is the kernel's own

    def __call__(self, kernel: Any, training: bool, weights: None) -> Any:
        if self.depthwise:
            kernel = tf.transpose(kernel, (0, 1, 3, 2))
        limit = tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2))
        # The bias is a 32-bit multiple of the kernel's step: it must not overflow.
        limit = tf.stop_gradient(tf.maximum(limit, _BIAS_SHARE * tf.abs(self.bias) + _MIN_KERNEL))
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -limit, limit, narrow_range=True)
        return tf.transpose(kernel, (0, 1, 3, 2)) if self.depthwise else kernel


class _Integers:
    """What tfmot calls a QuantizeConfig: 8-bit kernels, and results in a fixed range.

    Args:
        kernel: The name of the layer's attribute, None for a layer without.
        results: The quantizer of the layer's results.
    """

    def __init__(self, kernel: str | None, results: Any):
        self.kernel = kernel
        self.results = results

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        if not self.kernel:
            return []
        channels = Channels(layer.bias, depthwise=self.kernel == "depthwise_kernel")
        return [(getattr(layer, self.kernel), channels)]

    def set_quantize_weights(self, layer: Any, weights: list[Any]) -> None:
        for weight in weights:
            setattr(layer, self.kernel, weight)

    def get_activations_and_quantizers(self, layer: Any) -> list:
        return []

    def set_quantize_activations(self, layer: Any, activations: list) -> None:
        return None  # a layer's activation is part of its results

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        return [self.results]


_KERNELS = {"Conv2D": "kernel", "DepthwiseConv2D": "depthwise_kernel"}


def _description(path: str | os.PathLike) -> pathlib.Path:
    return pathlib.Path(path).with_suffix(".json")


def _builder_arguments(path: str | os.PathLike) -> dict[str, Any]:
    try:
        described = read_json(_description(path))
        arguments = {**described["builder"], "max_depth_m": float(described["max_depth_m"])}
    except OSError as error:
        raise UserError(f"{_description(path)}: cannot be read ({error.strerror}); train.py writes "
                        "it beside the student") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{_description(path)}: not what train.py wrote ({error!r}); train "
                        "again") from error
    return {**arguments, "encoder_weights": None}


@contextlib.contextmanager
def _tfmot() -> Iterator[ModuleType]:
    """Imports tfmot and takes back what it sets in the environment."""
    name = "TF_USE_LEGACY_KERAS"
    before = os.environ.get(name)
    # tensorflow.keras is chosen on its first use and then for good; keras-cv goes by it.
    tf.keras.layers  # noqa: B018
    try:
        from tensorflow_model_optimization.quantization import keras as tfmot

        yield tfmot
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
