"""The quantization-aware network: a student's core that computes with 8-bit integers' precision.

Every layer of the integer form is wrapped so that it gives the 256 numbers that it will have on the
phone (Jacob et al., 2018). As it is, this is the quantization after training; `fine_tuning` trains
it further.
"""

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mai_depth.network.converter import to_tflite
from mai_depth.quantize.integer_form import CONVOLUTIONS
from mai_depth.quantize.integer_form import constant
from mai_depth.quantize.integer_form import integer_form
from mai_depth.quantize.ranges import measure_ranges
from mai_depth.quantize.ranges import measure_scales
from mai_depth.quantize.rounding import round_kernels


class IntegerCore(keras.layers.Layer):
    """A core in integers, as a layer of a Keras model that it can be trained in.

    tensorflow-model-optimization takes tf_keras alone, so the weights are those of `network`.

    Args:
        core: From the scaled grid [batch, height, width, 3] to `depth_logits`.
        grids: Inputs of it [count, height, width, 3] on which ranges are measured.
        name: The layer's name.

    Attributes:
        network: The core in its integer form, of tf_keras, from grid to `depth_logits`.
    """

    def __init__(self, core: keras.Model, grids: np.ndarray, name: str = "depth_logits"):
        super().__init__(name=name)
        scales = measure_scales(integer_form(core), grids)
        form = integer_form(core, scales)
        ranges = measure_ranges(form, grids)
        limits = round_kernels(form, grids)
        with _tfmot() as tfmot:

            def wrap(layer: Any) -> Any:
                results = tfmot.quantizers.FixedQuantizer(
                    8, *ranges[layer.name], narrow_range=False)
                kernel = _set_weights(layer, form.get_layer(layer.name).get_weights())
                # tfmot would train the kernel of a gate too, which is exact as it is.
                config = _Integers(
                    kernel if layer.trainable else None, limits.get(layer.name), results)
                return tfmot.QuantizeWrapperV2(layer, config, name_prefix="")

            self.network = integer_form(core, scales, wrap)
        self.built = True

    @property
    def variables(self) -> list[Any]:
        """The trained variables of `network`; Keras 3 would train any others that it finds."""
        return self.network.trainable_variables

    @property
    def weights(self) -> list[Any]:
        """The same, for `get_weights` and `set_weights`."""
        return self.variables

    def call(self, grid: Any, training: bool = False) -> Any:
        """Computes `depth_logits` [batch, h, w, 1], in training as in inference."""
        return self.network(grid)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of `depth_logits`."""
        return (input_shape[0], *self.network.output_shape[1:])

    def to_tflite(self) -> bytes:
        """Converts it: float32 in and out, integers after the first convolution."""
        return to_tflite(self.network, fake_quantized=True)


class Channels:
    """What tfmot calls a Quantizer: a kernel in 255 steps, of another size for each channel.

    Args:
        limits: What 127 steps are, [channels].
        depthwise: Whether the channels are those of [height, width, channels, 1].
    """

    def __init__(self, limits: np.ndarray, depthwise: bool):
        self.limits = limits
        self.depthwise = depthwise

    def build(self, shape: Any, name: str, layer: Any) -> None:
        return None  # nothing to remember: the limits stay

    def __call__(self, kernel: Any, training: bool, weights: None) -> Any:
        if self.depthwise:
            kernel = tf.transpose(kernel, (0, 1, 3, 2))
        kernel = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            kernel, -self.limits, self.limits, narrow_range=True)
        return tf.transpose(kernel, (0, 1, 3, 2)) if self.depthwise else kernel


class _Integers:
    """What tfmot calls a QuantizeConfig: 8-bit kernels, and results in a fixed range.

    Args:
        kernel: The name of the layer's attribute, None for a layer without.
        limits: Of `Channels`.
        results: The quantizer of the layer's results.
    """

    def __init__(self, kernel: str | None, limits: np.ndarray | None, results: Any):
        self.kernel = kernel
        self.limits = limits
        self.results = results

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        if not self.kernel:
            return []
        channels = Channels(self.limits, depthwise=self.kernel == "depthwise_kernel")
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


def _set_weights(layer: Any, weights: list[np.ndarray]) -> str | None:
    """Gives a layer that is not built its first weights; returns the name of its kernel."""
    kind = type(layer).__name__
    if kind not in CONVOLUTIONS:
        return None
    name = "depthwise" if kind == "DepthwiseConv2D" else "kernel"
    kernel, bias = weights
    setattr(layer, f"{name}_initializer", constant(kernel))
    layer.bias_initializer = constant(bias)
    return "kernel" if name == "kernel" else "depthwise_kernel"


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
