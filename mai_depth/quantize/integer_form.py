"""Writes a student's core in the layers that LiteRT runs as 8-bit integers.

The function stays the same, its form changes:

* BatchNorm is folded into the convolution before it; relu is that convolution's activation, or
  that of the sum before it.
* Every channel is divided by its largest number, which the next convolution undoes in its kernel
  (cross-layer equalization, Nagel et al. 2019, section 4.1): the channels of a tensor share one
  scale as integers, as do the halves of a concatenation.
* hard-swish: where the convolution gives `x / s`, a depthwise 1x1 convolution of weight s and bias
  3 gives `relu6(x + 3)`, and their product is `6 / s * hard_swish(x)`. LiteRT delegates no 8-bit
  hard-swish, and fuses relu6 into a convolution alone.
* Nearest upsampling concatenates the map four times and moves the channels to their places.
* hard-sigmoid of squeeze-excite, `relu6(x + 3) / 6`: the 3 moves into the bias before it, the sixth
  into the kernel of the convolution after the multiplication.

The first convolution stays float: in 8 bits its result alone moves log depth by 0.016, where all
results together move it by 0.024 (student_28m, benchmark/results/quantization.csv), and it does 2
of 65 million multiplications. The layers are those of tf_keras, which is all that
tensorflow-model-optimization takes.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mai_depth.errors import UserError
from mai_depth.network.batch_norm import factor_and_shift
from mai_depth.network.upsampling import is_nearest
from mai_depth.network.upsampling import nearest

START = "integers"
"""The layer at which the integers begin: it passes the first convolution's result on."""

GATE = "_gate"
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D")
_HARD_SWISH = ("hard_silu", "hard_swish")
# What else a core consists of, with what its layers are configured by.
_COPIED = {
    "Add": (), "Multiply": (), "Concatenate": ("axis",), "ZeroPadding2D": ("padding",),
    "GlobalAveragePooling2D": ("keepdims",), "UpSampling2D": ("size", "interpolation")}
_MOVING = ("ZeroPadding2D",)  # it moves integers and makes none


@dataclasses.dataclass(eq=False)
class Step:
    """One call of a layer, or of an operator, in a Keras model.

    Attributes:
        layer: What is called.
        sources: The steps that give its inputs; None is the model's input.
        followers: The steps that take its result.
    """

    layer: Any
    sources: list["Step | None"]
    followers: list["Step"] = dataclasses.field(default_factory=list)

    @property
    def kind(self) -> str:
        """The name of the layer's class."""
        return type(self.layer).__name__


def steps_of(model: keras.Model) -> list[Step]:
    """Lists the calls of a model, each after those that give its inputs."""
    steps: dict[int, Step] = {}
    kept = []  # an id is a tensor's own only while the tensor lives

    def record(layer: Any, *args: Any, **kwargs: Any) -> Any:
        result = layer(*args, **kwargs)
        tensors = args[0] if isinstance(args[0], (list, tuple)) else args
        step = Step(layer, [steps.get(id(x)) for x in tensors if keras.ops.is_tensor(x)
                            or isinstance(x, keras.KerasTensor)])
        for source in filter(None, step.sources):
            source.followers.append(step)
        kept.append(result)
        steps[id(result)] = step
        return result

    keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=record)
    return list(steps.values())


def integer_form(
    core: keras.Model,
    scales: Mapping[str, np.ndarray] | None = None,
    wrap: Callable[[Any], Any] = lambda layer: layer,
) -> Any:
    """Rewrites a core.

    Args:
        core: From the scaled grid [batch, height, width, 3] to `depth_logits`.
        scales: By what the channels of a convolution are divided, of `ranges.measure_scales`.
        wrap: Called with each layer whose result becomes integers; what it returns is used.

    Returns:
        A tf_keras model of the same function (1e-5 of its range) with the layers' names.

    Raises:
        UserError: A layer that no student has.
    """
    return _Writer(scales or {}, wrap).write(core)


class _Writer:
    """Walks through a core and writes its layers again.

    Attributes:
        written: The new tensors by the old steps.
        divided: By what a new tensor is smaller than the old one, [channels] or a number.
        passed: Old steps that are part of a convolution that is written.
        begun: Whether the first convolution is written.
    """

    def __init__(self, scales: Mapping[str, np.ndarray], wrap: Callable[[Any], Any]):
        import tf_keras

        self.keras = tf_keras
        self.scales = scales
        self.wrap = wrap
        self.written: dict[Step | None, Any] = {}
        self.divided: dict[Step | None, Any] = {None: 1.0}
        self.passed: set[Step] = set()
        self.begun = False

    def write(self, core: keras.Model) -> Any:
        image = self.keras.Input(core.inputs[0].shape[1:], name="grid")
        self.written[None] = image
        steps = steps_of(core)
        for step in steps:
            if step.kind in CONVOLUTIONS:
                self._write_convolution(step)
            elif step not in self.passed:
                self._copy(step)
        return self.keras.Model(image, self.written[steps[-1]], name="core")

    def _copy(self, step: Step) -> None:
        layer, config = step.layer, step.layer.get_config()
        if step.kind not in _COPIED:
            raise UserError(f"{layer.name}: a {step.kind} cannot be written in integers; export "
                            "another student, or with --quantization=dynamic")
        if is_nearest(layer):
            self._write_nearest(step)
            return
        copy = getattr(self.keras.layers, step.kind)(
            **{name: config[name] for name in _COPIED[step.kind]}, name=layer.name)
        inputs = [self.written[source] for source in step.sources]
        if step.kind == "Add" and (relu := _only_relu_after(step)):
            self._write_sum(relu, copy(inputs), self.divided[step.sources[0]])
            return
        divided = [np.broadcast_to(self.divided[source], self.written[source].shape[-1])
                   for source in step.sources]
        if step.kind == "Concatenate":
            divided = [np.concatenate(divided)]
        elif step.kind == "Multiply":
            divided = [np.prod(divided, axis=0)]
        if step.kind not in _MOVING:
            copy = self._wrapped(copy)
        self._note(step, copy(inputs if len(inputs) > 1 else inputs[0]), divided[0])

    def _write_nearest(self, step: Step) -> None:
        import tensorflow as tf

        def concatenate(tensors: list[Any], axis: int) -> Any:
            name = f"{step.layer.name}_fourfold"
            return self._wrapped(self.keras.layers.Concatenate(axis, name=name))(tensors)

        (source,) = step.sources
        x = nearest(self.written[source], concatenate, tf.nn.depth_to_space)
        self._note(step, x, self.divided[source])

    def _write_sum(self, relu: Step, x: Any, divided: Any) -> None:
        """LiteRT fuses relu into the sum where only what comes after it is rounded."""
        layer = self.keras.layers.Activation(_activation("relu"), name=relu.layer.name)
        self.passed.add(relu)
        self._note(relu, self._wrapped(layer)(x), divided)

    def _note(self, step: Step, tensor: Any, divided: Any) -> None:
        self.written[step] = tensor
        self.divided[step] = divided

    def _write_convolution(self, step: Step) -> None:
        kernel, bias, last = folded(step)
        activation, chain = activation_after(last)
        (source,) = step.sources
        kernel = kernel * np.broadcast_to(self.divided[source], kernel.shape[2])[:, None]
        scale = np.broadcast_to(self.scales.get(step.layer.name, 1.0), bias.shape)
        x = self.written[source]
        if activation == "hard_sigmoid":
            x, scale = self._convolution(step, kernel, bias + 3, "relu6")(x), 1 / 6
        else:
            kernel = kernel / (scale[:, None] if step.kind == "DepthwiseConv2D" else scale)
            fused = activation if activation == "relu" else None
            x = self._convolution(step, kernel, bias / scale, fused)(x)
        if activation == "hard_swish":
            x, scale = self._hard_swish(x, scale, step.layer.name), scale / 6
        if not self.begun:
            self.begun = True
            x = self._wrapped(self.keras.layers.Activation("linear", name=START))(x)
        self.passed.update({last, *chain})
        self._note([last, *chain][-1], x, scale)

    def _wrapped(self, layer: Any) -> Any:
        return self.wrap(layer) if self.begun else layer

    def _convolution(
        self, step: Step, kernel: np.ndarray, bias: np.ndarray, activation: str | None
    ) -> Any:
        layer = step.layer
        name = "depthwise" if step.kind == "DepthwiseConv2D" else "kernel"
        channels = {} if name == "depthwise" else {"filters": len(bias)}
        return self._wrapped(getattr(self.keras.layers, step.kind)(
            **channels, kernel_size=layer.kernel_size, strides=layer.strides,
            padding=layer.padding, activation=_activation(activation), name=layer.name,
            **{f"{name}_initializer": constant(kernel)},
            bias_initializer=constant(_varied(bias))))

    def _hard_swish(self, x: Any, scale: np.ndarray, name: str) -> Any:
        layers = self.keras.layers
        gate = layers.DepthwiseConv2D(
            1,
            depthwise_initializer=constant(scale),
            bias_initializer=constant(_varied(np.full(len(scale), 3.0))),
            activation=_activation("relu6"),
            trainable=False,
            name=name + GATE,
        )
        product = layers.Multiply(name=f"{name}_hard_swish")
        return self._wrapped(product)([x, self._wrapped(gate)(x)])


def folded(step: Step) -> tuple[np.ndarray, np.ndarray, Step]:
    """A convolution's kernel and bias with the BatchNorm after it, and the last of the two.

    Args:
        step: Of a kind in `CONVOLUTIONS`.

    Returns:
        Kernel, bias [channels], and the step whose result they give.
    """
    kernel, *biases = step.layer.get_weights()
    depthwise = step.kind == "DepthwiseConv2D"
    bias = biases[0] if biases else np.zeros(kernel.shape[2 if depthwise else 3], np.float32)
    if not step.followers or step.followers[0].kind != "BatchNormalization":
        return kernel, bias, step
    factor, shift = factor_and_shift(step.followers[0].layer)
    kernel = kernel * (factor[:, None] if depthwise else factor)
    return kernel, bias * factor + shift, step.followers[0]


def activation_after(step: Step) -> tuple[str | None, list[Step]]:
    """What follows a convolution.

    Args:
        step: The convolution, or the BatchNorm after it.

    Returns:
        `hard_swish`, `hard_sigmoid`, `relu` or None, and the steps that it consists of.
    """
    if len(step.followers) != 1:
        return None, []
    (follower,) = step.followers
    if follower.kind == "Activation" and follower.layer.get_config()["activation"] in _HARD_SWISH:
        return "hard_swish", [follower]
    if follower.kind == "Add" and len(follower.sources) == 1:  # x + 3, relu6, * 1/6
        (relu6,) = follower.followers
        return "hard_sigmoid", [follower, relu6, *relu6.followers]
    if follower.kind == "ReLU":
        return "relu", [follower]
    return None, []


def _only_relu_after(step: Step) -> Step | None:
    only = step.followers[0] if len(step.followers) == 1 else None
    return only if only and only.kind == "ReLU" else None


def _activation(name: str | None) -> Any:
    import tensorflow as tf

    return {None: None, "relu": tf.nn.relu, "relu6": tf.nn.relu6}[name]


def _varied(bias: np.ndarray) -> np.ndarray:
    """A bias whose numbers are not all the same: the converter gives those the first one's step."""
    bias = np.array(bias, np.float32)
    bias[-1] = np.nextafter(bias[-1], np.float32(np.inf))
    return bias


def constant(value: np.ndarray) -> Callable[..., np.ndarray]:
    """An initializer that gives a layer these numbers."""
    return lambda shape, dtype=None, **_: np.asarray(value, np.float32).reshape(shape)
