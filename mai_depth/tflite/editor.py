"""Edits of a .tflite file that the converter does not make: names, parts, weights, metadata."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from mai_depth.tflite.schema import litert

METADATA_NAME = "mai_depth"
_DYNAMIC_MIN_WEIGHTS = 1024  # below, int8 saves nothing; the converter has the same limit
_ALIGNMENT = 16


class Editor:
    """One .tflite file in memory, to be changed and written.

    Attributes:
        model: The schema's mutable `ModelT`.

    Args:
        data: The bytes of a file with one subgraph.
    """

    def __init__(self, data: bytes):
        self._schema = litert().schema
        self.model = self._schema.ModelT.InitFromPackedBuf(data, 0)
        self._graph = self.model.subgraphs[0]

    def append(self, data: bytes) -> None:
        """Puts another graph behind this one: its input becomes this one's output.

        Args:
            data: A file whose one input has the shape and type of this one's output.
        """
        other = self._schema.ModelT.InitFromPackedBuf(data, 0)
        graph = other.subgraphs[0]
        first_tensor, first_buffer = len(self._graph.tensors), len(self.model.buffers)
        first_code = len(self.model.operatorCodes)
        moved = {-1: -1} | {i: first_tensor + i for i in range(len(graph.tensors))}
        moved[int(graph.inputs[0])] = int(self._graph.outputs[0])
        for tensor in graph.tensors:
            tensor.buffer += first_buffer
        for operator in graph.operators:
            operator.opcodeIndex += first_code
            operator.inputs = [moved[int(i)] for i in operator.inputs]
            operator.outputs = [moved[int(i)] for i in operator.outputs]
        self.model.buffers += other.buffers
        self.model.operatorCodes += other.operatorCodes
        self._graph.tensors += graph.tensors
        self._graph.operators += graph.operators
        self._graph.outputs = [moved[int(i)] for i in graph.outputs]

    def take_bytes(self, resize: bool) -> None:
        """Makes the float input a uint8 one: the numbers 0..255 of a camera.

        Args:
            resize: Whether the input's one operator, which resizes the picture, works on the bytes
                and its result is turned to float. That needs no picture of floats, but rounds what
                the network sees to whole numbers. Else the whole picture is turned to float.
        """
        source = int(self._graph.inputs[0])
        place, consumer = next((i, op) for i, op in enumerate(self._graph.operators)
                               if source in op.inputs)
        if resize:
            target = int(consumer.outputs[0])
            view = self._copy(target)
            self._make_bytes(view)
            consumer.outputs = [view]
            self._graph.operators.insert(place + 1, self._to_float(view, target))
        else:
            floats = self._copy(source)
            consumer.inputs = [floats, *map(int, consumer.inputs[1:])]
            self._graph.operators.insert(place, self._to_float(source, floats))
        self._make_bytes(source)

    def quantize_convolutions(self) -> None:
        """Stores the weights of convolutions as int8, one scale for each output channel.

        LiteRT then quantizes their inputs at run time ("dynamic range"). Depthwise weights stay
        float: they are few, and the delegate has no such form, so that each would split the graph.
        """
        for operator in self._convolutions():
            tensor = self._graph.tensors[int(operator.inputs[1])]
            if np.prod(tensor.shape) >= _DYNAMIC_MIN_WEIGHTS:
                self._quantize_weights(tensor)

    def _copy(self, index: int) -> int:
        """Adds a tensor of the shape and type of another."""
        old, tensor = self._graph.tensors[index], self._schema.TensorT()
        tensor.shape, tensor.type = old.shape, old.type
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _make_bytes(self, index: int) -> None:
        tensor = self._graph.tensors[index]
        tensor.type = self._schema.TensorType.UINT8
        tensor.quantization = self._schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [0]

    def _to_float(self, source: int, target: int) -> Any:
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(self._schema.BuiltinOperator.DEQUANTIZE)
        operator.builtinOptionsType = self._schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = self._schema.DequantizeOptionsT()
        operator.inputs, operator.outputs = [source], [target]
        return operator

    def _convolutions(self) -> list[Any]:
        code = self._schema.BuiltinOperator.CONV_2D
        codes = self.model.operatorCodes
        return [op for op in self._graph.operators if codes[op.opcodeIndex].builtinCode == code]

    def _quantize_weights(self, tensor: Any) -> None:
        data = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8).tobytes()
        weights = np.frombuffer(data, np.float32).reshape(tensor.shape)
        limit = np.abs(weights).max(axis=(1, 2, 3))
        scale = np.where(limit > 0, limit, 1).astype(np.float32) / 127
        quantized = np.rint(weights / scale[:, None, None, None]).astype(np.int8)
        tensor.quantization = self._schema.QuantizationParametersT()
        tensor.quantization.scale = scale.tolist()
        tensor.quantization.zeroPoint = [0] * len(scale)
        tensor.quantization.quantizedDimension = 0
        tensor.type = self._schema.TensorType.INT8
        tensor.buffer = self._buffer(quantized.tobytes())

    def name(self, input_name: str, output_name: str) -> None:
        """Names the one input and the one output, also as the file's only signature."""
        schema, ends = self._schema, {}
        for kind, name in (("inputs", input_name), ("outputs", output_name)):
            index = int(getattr(self._graph, kind)[0])
            self._graph.tensors[index].name = name.encode()
            ends[kind] = schema.TensorMapT()
            ends[kind].name, ends[kind].tensorIndex = name.encode(), index
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
        signature.inputs, signature.outputs = [ends["inputs"]], [ends["outputs"]]
        self.model.signatureDefs = [signature]

    def describe(self, description: str, metadata: Mapping[str, str]) -> None:
        """Writes a description and named texts into the file; LiteRT ignores both."""
        self.model.description = description.encode()
        for name, text in metadata.items():
            entry = self._schema.MetadataT()
            entry.name, entry.buffer = name.encode(), self._buffer(text.encode())
            self.model.metadata = [*(self.model.metadata or []), entry]

    def data(self) -> bytes:
        """The file's bytes."""
        import flatbuffers

        # Only what a tensor or an entry names is kept, e.g. not the float form of int8 weights.
        users = [*self._graph.tensors, *(self.model.metadata or [])]
        kept = [0, *sorted({int(user.buffer) for user in users} - {0})]
        buffers = self.model.buffers
        for user in users:
            user.buffer = kept.index(int(user.buffer))
        self.model.buffers = [buffers[index] for index in kept]
        for buffer in self.model.buffers:
            buffer.Pack = functools.partial(_pack_aligned, self._schema, buffer)
        shared: dict[bytes, int] = {}
        for tensor in self._graph.tensors:
            tensor.name = _short_name(tensor.name or b"")
            if tensor.quantization is not None and tensor.quantization.scale is not None:
                tensor.quantization.Pack = functools.partial(
                    _pack_quantization, self._schema, tensor.quantization, shared)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, data: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _code(self, number: int) -> int:
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 2
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def _pack_aligned(schema: Any, buffer: Any, builder: Any) -> int:
    """Packs a buffer at a multiple of 16 bytes, which the format asks for and Python leaves out."""
    data = None
    if buffer.data is not None and len(buffer.data):
        values = np.asarray(buffer.data, np.uint8).tobytes()
        builder.StartVector(1, len(values), _ALIGNMENT)
        builder.head -= len(values)
        builder.Bytes[builder.head : builder.head + len(values)] = values
        builder.vectorNumElems = len(values)
        data = builder.EndVector()
    schema.BufferStart(builder)
    if data is not None:
        schema.BufferAddData(builder, data)
    return schema.BufferEnd(builder)


def _pack_quantization(
    schema: Any, quantization: Any, shared: dict[bytes, int], builder: Any
) -> int:
    """Packs scales and zero points; equal zero points are stored once.

    Each channel of an int8 weight and of its bias has a zero point of 8 bytes, and all of them
    are 0: a seventh of a small file.
    """
    zeros = np.asarray(quantization.zeroPoint, np.int64)
    if zeros.tobytes() not in shared:
        shared[zeros.tobytes()] = builder.CreateNumpyVector(zeros)
    scale = builder.CreateNumpyVector(np.asarray(quantization.scale, np.float32))
    schema.QuantizationParametersStart(builder)
    schema.QuantizationParametersAddScale(builder, scale)
    schema.QuantizationParametersAddZeroPoint(builder, shared[zeros.tobytes()])
    schema.QuantizationParametersAddQuantizedDimension(
        builder, quantization.quantizedDimension or 0)
    return schema.QuantizationParametersEnd(builder)


def _short_name(name: bytes) -> bytes:
    """The converter names a tensor after everything it was fused of, with the path to each."""
    return name.split(b";")[0].split(b"core_1/")[-1]


def read_metadata(data: bytes, name: str = METADATA_NAME) -> str | None:
    """Reads a text that `Editor.describe` wrote.

    Args:
        data: The bytes of a .tflite file.
        name: Its name.

    Returns:
        The text, or None where there is none.
    """
    model = litert().schema.Model.GetRootAs(data, 0)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if (entry.Name() or b"").decode() == name:
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().decode()
    return None
