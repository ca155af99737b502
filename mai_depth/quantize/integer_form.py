"""Writes a student of tf_keras in the layers that LiteRT runs as one 8-bit integer graph.

The function stays the same, its form changes:

* BatchNorm is folded into the convolution before it; relu is that convolution's activation.
* Every channel is divided by its largest number, which the next convolution undoes in its kernel
  (cross-layer equalization, Nagel et al. 2019): the channels of a tensor share one scale as
  integers, as do the halves of a concatenation.
* hard-swish: where the convolution gives `x / s`, a depthwise 1x1 convolution of weight s and bias
  3 gives `relu6(x + 3)`, and their product is `6 / s * hard_swish(x)`.
* Nearest upsampling concatenates the map four times and moves the channels to their places.
* hard-sigmoid of squeeze-excite, `relu6(x + 3) / 6`: the 3 moves into the bias before it, the sixth
  into the kernel of the convolution after the multiplication.

So no operator is left that LiteRT's delegate cannot take as integers, and none is added but one
depthwise convolution for each hard-swish. `integer_core` does the same to the Keras 3 model, for
quantization without training; BatchNorm is left to the converter there.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from mai_depth.network.batch_norm import factor_and_shift
from mai_depth.network.upsampling import is_nearest
from mai_depth.network.upsampling import nearest

CORE = "core"
"""The layer at which the integers begin: it passes the scaled picture on."""

GATE = "_gate"
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")
# Layers that stay float, or that move integers without changing them.
FLOAT = (
    "InputLayer", "Resizing", "AveragePooling2D", "Rescaling", "Activation", "ZeroPadding2D",
    "TFOpLambda")


def integer_form(
    model: Any,
    tf_keras: Any,
    scales: Mapping[str, np.ndarray] | None = None,
    wrap: Callable[[Any], Any] = lambda layer: layer,
) -> Any:
    """Rewrites a student.

    Args:
        model: A student that `build_student` made of tf_keras layers.
        tf_keras: That module.
        scales: By what the channels of a convolution are divided, of `measure_scales`.
        wrap: Called with each layer whose result shall be integers; what it returns is used.

    Returns:
        A tf_keras model of the same function (1e-5 of the depth), with the layers `view`,
        `depth_logits` and `depth_low` by these names if `wrap` keeps them.
    """
    return _Writer(tf_keras, scales or {}, wrap).write(model)


class _Writer:
    """Walks through a model and writes its layers again.

    Attributes:
        written: New tensors by the id of the old ones.
        divided: By what the new tensor is smaller than the old one, [channels] or a number, by
            the id of the old one.
        passed: Names of old layers that are part of a convolution that is written.
    """

    def __init__(
        self, tf_keras: Any, scales: Mapping[str, np.ndarray], wrap: Callable[[Any], Any]
    ):
        self.tf_keras = tf_keras
        self.scales = scales
        self.wrap = wrap
        self.written: dict[int, Any] = {}
        self.divided: dict[int, Any] = {}
        self.passed: set[str] = set()
        self.begun = False

    def write(self, model: Any) -> Any:
        for layer in model.layers:
            if layer.name in self.passed:
                continue
            if kind(layer) in CONVOLUTIONS:
                self._write_convolution(layer)
            else:
                self._copy(layer)
        ends = [self.written[id(tensor)] for tensor in (model.input, model.output)]
        return self.tf_keras.Model(*ends, name=model.name)

    def _copy(self, layer: Any) -> None:
        if is_nearest(layer):
            self._write_nearest(layer)
            return
        copy = type(layer).from_config(layer.get_config())
        if kind(layer) == "InputLayer":
            self._note(layer, copy.output, 1.0)
            return
        several = isinstance(layer.input, list)
        before = layer.input if several else [layer.input]
        inputs = [self.written[id(tensor)] for tensor in before]
        divided = [
            np.broadcast_to(self.divided[id(tensor)], tensor.shape[-1]) for tensor in before]
        if kind(layer) == "Concatenate":
            divided = [np.concatenate(divided)]
        elif kind(layer) == "Multiply":
            divided = [np.prod(divided, axis=0)]
        if kind(layer) not in FLOAT:
            copy = self.wrap(copy)
        self._note(layer, copy(inputs if several else inputs[0]), divided[0])

    def _write_nearest(self, layer: Any) -> None:
        import tensorflow as tf

        def concatenate(tensors: list[Any], axis: int) -> Any:
            fourfold = self.tf_keras.layers.Concatenate(axis, name=f"{layer.name}_fourfold")
            return self.wrap(fourfold)(tensors)

        x = nearest(self.written[id(layer.input)], concatenate, tf.nn.depth_to_space)
        self._note(layer, x, self.divided[id(layer.input)])

    def _note(self, old: Any, new: Any, divided: Any) -> None:
        self.written[id(old.output)] = new
        self.divided[id(old.output)] = divided

    def _write_convolution(self, layer: Any) -> None:
        kernel, bias, last = _folded(layer)
        activation, last, passed = _activation_after(last)
        divided = np.broadcast_to(self.divided[id(layer.input)], kernel.shape[2])
        kernel = kernel * divided[:, None]
        scale = np.broadcast_to(self.scales.get(layer.name, 1.0), bias.shape)
        x = self._begin(self.written[id(layer.input)])
        if activation == "hard_sigmoid":
            x, scale = self._convolution(layer, kernel, bias + 3, "relu6")(x), 1 / 6
        else:
            kernel = kernel / (scale[:, None] if kernel.shape[3] == 1 < len(bias) else scale)
            fused = activation if activation == "relu" else None
            x = self._convolution(layer, kernel, bias / scale, fused)(x)
        if activation == "hard_swish":
            x, scale = self._hard_swish(x, scale, layer.name), scale / 6
        self._note(last, x, scale)
        self.passed.update(passed)

    def _begin(self, x: Any) -> Any:
        """Passes the first convolution's input through the layer `CORE`."""
        if self.begun:
            return x
        self.begun = True
        return self.wrap(self.tf_keras.layers.Activation("linear", name=CORE))(x)

    def _convolution(
        self, layer: Any, kernel: np.ndarray, bias: np.ndarray, activation: str | None
    ) -> Any:
        name = "depthwise" if kind(layer) == "DepthwiseConv2D" else "kernel"
        changes = {
            "use_bias": True,
            f"{name}_initializer": _constant(kernel),
            "bias_initializer": _constant(_varied(bias)),
            "activation": _activation(activation),
        }
        return self.wrap(type(layer).from_config({**layer.get_config(), **changes}))

    def _hard_swish(self, x: Any, scale: np.ndarray, name: str) -> Any:
        layers = self.tf_keras.layers
        gate = layers.DepthwiseConv2D(
            1,
            depthwise_initializer=_constant(scale),
            bias_initializer=_constant(_varied(np.full(len(scale), 3.0))),
            activation=_activation("relu6"),
            trainable=False,
            name=name + GATE,
        )
        product = layers.Multiply(name=f"{name}_hard_swish")
        return self.wrap(product)([x, self.wrap(gate)(x)])


def _folded(layer: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """A convolution's kernel and bias with the BatchNorm after it, and the last of the two."""
    kernel, *biases = layer.get_weights()
    depthwise = kind(layer) == "DepthwiseConv2D"
    bias = biases[0] if biases else np.zeros(kernel.shape[2 if depthwise else 3], np.float32)
    norm = consumers(layer)[0]
    if kind(norm) != "BatchNormalization":
        return kernel, bias, layer
    factor, shift = factor_and_shift(norm)
    return kernel * (factor[:, None] if depthwise else factor), bias * factor + shift, norm


def _activation_after(layer: Any) -> tuple[str | None, Any, list[str]]:
    """What follows a convolution: its name, its last layer, and all names from `layer` on."""
    followers = consumers(layer)
    sums = [follower for follower in followers if kind(follower) == "TFOpLambda"]
    if sums:  # tf_keras writes hard-sigmoid as the operators x + 3, relu6, * 1/6
        (relu6,) = consumers(sums[0])
        (sixth,) = consumers(relu6)
        chain = [layer, sums[0], relu6, sixth]
        if len(followers) == 1:
            return "hard_sigmoid", sixth, [part.name for part in chain]
        (product,) = consumers(sixth)
        return "hard_swish", product, [part.name for part in (*chain, product)]
    if len(followers) == 1 and kind(followers[0]) == "ReLU":
        return "relu", followers[0], [layer.name, followers[0].name]
    return None, layer, [layer.name]


def kind(layer: Any) -> str:
    """The name of a layer's class, which is the same in every Keras."""
    return type(layer).__name__


def consumers(layer: Any) -> list[Any]:
    """The layers that take a layer's result."""
    return [node.layer for node in layer.outbound_nodes]


def _activation(name: str | None) -> Any:
    import tensorflow as tf

    return {None: None, "relu": tf.nn.relu, "relu6": tf.nn.relu6}[name]


def _varied(bias: np.ndarray) -> np.ndarray:
    """A bias whose numbers are not all the same: the converter gives those the first one's step."""
    bias = np.array(bias, np.float32)
    bias[-1] = np.nextafter(bias[-1], np.float32(np.inf))
    return bias


def _constant(value: np.ndarray) -> Callable[..., np.ndarray]:
    return lambda shape, dtype=None, **_: np.asarray(value, np.float32).reshape(shape)
