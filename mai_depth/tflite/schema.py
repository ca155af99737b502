"""The format of a .tflite file: flatbuffer in, plain tensors and operators out.

Every length is checked against the file's size, so that a broken file ends in an exception.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any
from typing import NamedTuple

from mai_depth.errors import UserError

_INSTALL_HINT = "ai-edge-litert is not installed: pip install ai-edge-litert"

BITS = {"INT4": 4, "INT2": 2, "UINT4": 4, "BOOL": 8, "INT8": 8, "UINT8": 8, "INT16": 16,
         "UINT16": 16, "FLOAT16": 16, "BFLOAT16": 16, "INT32": 32, "UINT32": 32, "FLOAT32": 32,
         "INT64": 64, "UINT64": 64, "FLOAT64": 64, "COMPLEX64": 64, "COMPLEX128": 128}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the graph; `constant` when the file holds its values."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str  # the schema's name: FLOAT32, INT8, ...
    constant: bool
    buffer: int

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the values as they are stored."""
        return (self.elements * BITS.get(self.dtype, 0) + 7) // 8


@dataclasses.dataclass(frozen=True)
class Op:
    """One operator of the graph, in execution order."""

    index: int
    name: str  # the schema's name (CONV_2D) or the name of a custom operator
    inputs: tuple[int, ...]  # tensor indices; -1 = an optional input left out
    outputs: tuple[int, ...]
    macs: int
    custom: bool


@dataclasses.dataclass(frozen=True)
class Graph:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def parse(data: bytes) -> Graph:
    """Reads the first subgraph.

    Args:
        data: A .tflite file.

    Returns:
        Its tensors and operators.

    Raises:
        UserError: No reader of the format is installed.
        Exception: Of many kinds (struct.error, IndexError, ValueError, ...) for a broken file.
    """
    schema = litert().schema
    model = schema.Model.GetRootAs(data, 0)
    codes = _operator_codes(schema, model)
    graph = model.Subgraphs(0)
    tensors = tuple(_tensors(schema, model, graph, len(data)))
    inputs, outputs = indices(graph.InputsAsNumpy()), indices(graph.OutputsAsNumpy())
    ops = tuple(_ops(graph, codes, tensors, len(data)))
    if not inputs or not outputs:
        raise ValueError("no input or no output")
    used = [i for op in ops for i in (*op.inputs, *op.outputs)]
    if not all(-1 <= i < len(tensors) for i in (*inputs, *outputs, *used)):
        raise ValueError("a tensor index out of range")
    return Graph(tensors, ops, inputs, outputs)


class LiteRt(NamedTuple):
    """The two modules of a LiteRT package that are used.

    Attributes:
        interpreter: Holds `Interpreter` and `OpResolverType`.
        schema: Holds the classes of the .tflite format (`Model`, `ModelT`, ...).
    """

    interpreter: ModuleType
    schema: ModuleType


@functools.cache
def litert() -> LiteRt:
    """Imports `ai_edge_litert`, else TensorFlow's copy of it.

    Returns:
        Its modules.

    Raises:
        UserError: Neither is installed.
    """
    try:
        from ai_edge_litert import interpreter
        from ai_edge_litert import schema_py_generated
    except ImportError:
        try:
            from tensorflow.lite.python import interpreter
            from tensorflow.lite.python import schema_py_generated
        except ImportError:
            raise UserError(_INSTALL_HINT) from None
    return LiteRt(interpreter, schema_py_generated)


@functools.cache
def names(enumeration: type) -> dict[int, str]:
    """The names in an enumeration of the schema by their numbers."""
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _operator_codes(schema: ModuleType, model: Any) -> list[tuple[str, bool]]:
    codes = []
    for index in range(bounded(model.OperatorCodesLength(), len(model._tab.Bytes))):
        code = model.OperatorCodes(index)
        # Files older than 2020 hold the number in the narrow field alone.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = number == schema.BuiltinOperator.CUSTOM
        name = code.CustomCode().decode() if custom else names(schema.BuiltinOperator)[number]
        codes.append((name, custom))
    return codes


def _tensors(schema: ModuleType, model: Any, graph: Any, size: int) -> list[Tensor]:
    tensors = []
    for index in range(bounded(graph.TensorsLength(), size)):
        tensor = graph.Tensors(index)
        shape = tensor.ShapeAsNumpy()
        shape = () if isinstance(shape, int) else tuple(max(1, int(n)) for n in shape)
        constant = model.Buffers(tensor.Buffer()).DataLength() > 0
        dtype = names(schema.TensorType)[tensor.Type()]
        name = (tensor.Name() or b"").decode()
        tensors.append(Tensor(index, name, shape, dtype, constant, tensor.Buffer()))
    return tensors


def _ops(
    graph: Any, codes: list[tuple[str, bool]], tensors: tuple[Tensor, ...], size: int
) -> list[Op]:
    ops = []
    for index in range(bounded(graph.OperatorsLength(), size)):
        operator = graph.Operators(index)
        name, custom = codes[operator.OpcodeIndex()]
        inputs = indices(operator.InputsAsNumpy())
        outputs = indices(operator.OutputsAsNumpy())
        macs = _macs(name, [tensors[i] if i >= 0 else None for i in inputs],
                     [tensors[i] for i in outputs])
        ops.append(Op(index, name, inputs, outputs, macs, custom))
    return ops


def bounded(length: int, size_bytes: int) -> int:
    """A list's length; a broken file may claim any, but an entry takes at least 4 bytes."""
    if length > size_bytes // 4:
        raise ValueError("a list longer than the file")
    return length


def indices(values: Any) -> tuple[int, ...]:
    """A vector of integers as the schema's `...AsNumpy()` gives it: 0 where there is none."""
    return () if isinstance(values, int) else tuple(int(i) for i in values)


def _macs(name: str, inputs: Sequence[Any], outputs: Sequence[Tensor]) -> int:
    if name == "CONV_2D":  # filter [out, height, width, in]
        return outputs[0].elements * math.prod(inputs[1].shape[1:])
    if name == "DEPTHWISE_CONV_2D":  # filter [1, height, width, channels]
        return outputs[0].elements * math.prod(inputs[1].shape[1:3])
    if name == "TRANSPOSE_CONV":  # inputs: output shape, filter [out, height, width, in], picture
        return inputs[2].elements * math.prod(inputs[1].shape[:3])
    if name in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        return outputs[0].elements * inputs[0].shape[-1]
    return 0
