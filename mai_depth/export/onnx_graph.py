"""A student written as an ONNX graph (https://onnx.ai/onnx/operators), operator by operator.

Standard operators of opset 14, NCHW between the first node and the last, BatchNorm folded, paddings
explicit: the plainest form for OpenCV's DNN module and the compilers of accelerators. The
gate of squeeze-excite is a Clip, since OpenCV 5.0 takes HardSigmoid and the Mul after it for a
HardSwish, whatever else is multiplied.
"""

from typing import Any
from typing import NamedTuple

import numpy as np

from mai_depth.errors import UserError
from mai_depth.export.stages import StudentParts
from mai_depth.quantize.integer_form import CONVOLUTIONS
from mai_depth.quantize.integer_form import Step
from mai_depth.quantize.integer_form import activation_after
from mai_depth.quantize.integer_form import folded
from mai_depth.quantize.integer_form import steps_of

OPSET = 14  # the first with HardSwish
_IR_VERSION = 8  # of 2021: OpenCV and onnxruntime of that year read it
_NO_PADDING = (0, 0, 0, 0)
_ACTIVATIONS = {"hard_silu": "HardSwish", "hard_swish": "HardSwish", "sigmoid": "Sigmoid"}
_JOINING = {"Add": "Add", "Multiply": "Mul"}


class _Map(NamedTuple):
    """A tensor [1, channels, height, width] and the zeros to be put around it by what reads it.

    `padding` is top, left, bottom, right, the order of ONNX.
    """

    name: str
    size: tuple[int, int]
    padding: tuple[int, int, int, int] = _NO_PADDING


def onnx_model(parts: StudentParts, upsample: str, input_dtype: str) -> Any:
    """Writes a student.

    Args:
        parts: Of `stages.take_apart`.
        upsample: `bilinear` or `nearest`.
        input_dtype: `float32` or `uint8`.

    Returns:
        An `onnx.ModelProto` from `image` [1, height, width, 3], RGB 0..255, to `depth_m`
        [1, height, width, 1], float32 metres.

    Raises:
        UserError: A layer that no student has.
    """
    return _Writer().write(parts, upsample, input_dtype)


class _Writer:
    """Collects nodes and constants; walks through a core.

    Attributes:
        nodes: `NodeProto`s in the order in which they run; each is named after its result.
        constants: `TensorProto`s.
        written: The new tensors by the old steps.
        passed: Old steps that are part of an operator that is written.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.written: dict[Step | None, _Map] = {}
        self.passed: set[Step] = set()

    def write(self, parts: StudentParts, upsample: str, input_dtype: str) -> Any:
        from onnx import TensorProto
        from onnx import helper

        self._write_grid(parts, input_dtype)
        steps = steps_of(parts.core)
        for step in steps:
            if step not in self.passed:
                self._write_step(step)
        self._write_metres(self.written[steps[-1]], parts, upsample)
        dtype = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}[input_dtype]
        graph = helper.make_graph(
            self.nodes, "student",
            [helper.make_tensor_value_info("image", dtype, [1, *parts.image_size, 3])],
            [helper.make_tensor_value_info(
                "depth_m", TensorProto.FLOAT, [1, *parts.image_size, 1])],
            self.constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="mai_depth")

    def _node(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(
            np.ascontiguousarray(value, dtype=dtype), name))
        return name

    def _resize(self, name: str, x: str, channels: int, size: tuple[int, int], mode: str) -> str:
        """Resizes as `keras.layers.Resizing` does: half-pixel centres, no antialiasing."""
        sizes = self._constant(f"{name}_size", [1, channels, *size], np.int64)
        nearest = {"nearest_mode": "round_prefer_ceil"} if mode == "nearest" else {}
        return self._node(
            "Resize", name, [x, "", "", sizes], coordinate_transformation_mode="half_pixel",
            mode="linear" if mode == "bilinear" else mode, **nearest)

    def _write_grid(self, parts: StudentParts, input_dtype: str) -> None:
        """The picture as the core takes it: planes, reduced, scaled."""
        from onnx import TensorProto

        x = "image"
        if input_dtype == "uint8":
            x = self._node("Cast", "image_float", [x], to=TensorProto.FLOAT)
        x = self._node("Transpose", "image_planes", [x], perm=[0, 3, 1, 2])
        height, width = parts.grid_size
        if parts.antialias:
            x = self._resize("view", x, 3, (2 * height, 2 * width), "bilinear")
            x = self._node("AveragePool", "grid", [x], kernel_shape=[2, 2], strides=[2, 2])
        else:
            x = self._resize("view", x, 3, (height, width), "bilinear")
        x = self._node("Mul", "grid_scaled", [x, self._constant("grid_scale", parts.scale)])
        x = self._node("Add", "grid_shifted", [x, self._constant("grid_offset", parts.offset)])
        self.written[None] = _Map(x, parts.grid_size)

    def _write_metres(self, logits: _Map, parts: StudentParts, upsample: str) -> None:
        x = self._node("Sigmoid", "depth_fraction", [logits.name])
        metres = self._constant("max_depth_m", parts.max_depth_m)
        x = self._node("Mul", "depth_low", [x, metres])
        x = self._resize("depth_planes", x, 1, parts.image_size, upsample)
        shape = self._constant("depth_m_shape", [1, *parts.image_size, 1], np.int64)
        self._node("Reshape", "depth_m", [x, shape])

    def _write_step(self, step: Step) -> None:
        name, config = step.layer.name, step.layer.get_config()
        first = self.written[step.sources[0]]
        if step.kind in CONVOLUTIONS:
            self._write_convolution(step)
        elif step.kind == "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            self.written[step] = _Map(first.name, first.size, (top, left, bottom, right))
        elif step.kind == "UpSampling2D":
            self._write_upsampling(step)
        else:
            inputs = [self._unpadded(source, name) for source in step.sources]
            size = (1, 1) if step.kind == "GlobalAveragePooling2D" else first.size
            self.written[step] = _Map(self._plain(step, name, inputs, config), size)

    def _plain(self, step: Step, name: str, inputs: list[str], config: dict[str, Any]) -> str:
        """Writes a layer that is one operator."""
        if step.kind in _JOINING and len(inputs) == 2:
            return self._node(_JOINING[step.kind], name, inputs)
        if step.kind == "Concatenate":
            return self._node("Concat", name, inputs, axis=1)
        if step.kind == "GlobalAveragePooling2D":
            return self._node("GlobalAveragePool", name, inputs)
        if step.kind == "Activation" and config["activation"] in _ACTIVATIONS:
            return self._node(_ACTIVATIONS[config["activation"]], name, inputs)
        if step.kind == "ReLU" and not (config["negative_slope"] or config["threshold"]):
            if config["max_value"] is None:
                return self._node("Relu", name, inputs)
            return self._clip(name, inputs[0], config["max_value"])
        raise UserError(f"--format=onnx: the layer {name} ({step.kind}) has no form there; export "
                        "a student of train.py")

    def _write_convolution(self, step: Step) -> None:
        kernel, bias, last = folded(step)
        activation, chain = activation_after(last)
        gate = activation == "hard_sigmoid"
        if gate:  # relu6(x + 3) / 6 is clip(x / 6 + 1/2, 0, 1)
            kernel, bias = kernel / 6, (bias + 3) / 6
        source, name = self.written[step.sources[0]], step.layer.name
        side, stride = step.layer.kernel_size, step.layer.strides
        padding = source.padding
        if step.layer.padding == "same":
            self._unpadded(step.sources[0], name)
            padding = _same(source.size, side, stride)
        depthwise = step.kind == "DepthwiseConv2D"
        # [height, width, in, out], or [height, width, channels, 1] of a depthwise one.
        kernel = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
        weights = [self._constant(f"{name}_kernel", kernel), self._constant(f"{name}_bias", bias)]
        x = self._node(
            "Conv", name, [source.name, *weights], kernel_shape=list(side), strides=list(stride),
            pads=list(padding), group=len(kernel) if depthwise else 1)
        rows, columns = (
            (source.size[axis] + padding[axis] + padding[axis + 2] - side[axis]) // stride[axis] + 1
            for axis in (0, 1))
        self.written[step] = self.written[last] = _Map(x, (rows, columns))
        self.passed.add(last)
        if gate:
            self.passed.update(chain)
            self.written[chain[-1]] = _Map(self._clip(f"{name}_gate", x, 1.0), (rows, columns))

    def _clip(self, name: str, x: str, high: float) -> str:
        bounds = [self._constant(f"{name}_low", 0.0), self._constant(f"{name}_high", high)]
        return self._node("Clip", name, [x, *bounds])

    def _write_upsampling(self, step: Step) -> None:
        name, config = step.layer.name, step.layer.get_config()
        source = self.written[step.sources[0]]
        x = self._unpadded(step.sources[0], name)
        rows, columns = config["size"]
        scales = self._constant(f"{name}_scales", [1, 1, rows, columns])
        # Of whole factors this nearest form gives the same numbers, and every compiler knows it.
        form = ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                 "nearest_mode": "floor"} if config["interpolation"] == "nearest" else
                {"mode": "linear", "coordinate_transformation_mode": "half_pixel"})
        x = self._node("Resize", name, [x, "", scales], **form)
        self.written[step] = _Map(x, (source.size[0] * rows, source.size[1] * columns))

    def _unpadded(self, source: Step | None, reader: str) -> str:
        if self.written[source].padding != _NO_PADDING:
            raise UserError(f"--format=onnx: the layer {reader} reads padding that has no form "
                            "there; export a student of train.py")
        return self.written[source].name


def _same(
    size: tuple[int, int], side: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The zeros that Keras' padding `same` puts around a map: top, left, bottom, right."""
    wanted = [max((-(-size[axis] // stride[axis]) - 1) * stride[axis] + side[axis] - size[axis], 0)
              for axis in (0, 1)]
    before = [zeros // 2 for zeros in wanted]
    return before[0], before[1], wanted[0] - before[0], wanted[1] - before[1]
