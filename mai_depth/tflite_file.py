"""A .tflite file: its operators, tensors and costs, and an interpreter that runs it.

Needs NumPy and ai-edge-litert alone (TensorFlow's own interpreter where only that is installed).
"""

import dataclasses
import functools
import hashlib
import math
import os
import pathlib
import struct
from types import ModuleType
from typing import Any

import numpy as np

from mai_depth.errors import UserError

MAX_THREADS = 64
INSTALL_HINT = "ai-edge-litert is not installed: pip install ai-edge-litert"

_WEIGHTED = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"))
_BITS = {"INT4": 4, "INT2": 2, "UINT4": 4, "BOOL": 8, "INT8": 8, "UINT8": 8, "INT16": 16,
         "UINT16": 16, "FLOAT16": 16, "BFLOAT16": 16, "INT32": 32, "UINT32": 32, "FLOAT32": 32,
         "INT64": 64, "UINT64": 64, "FLOAT64": 64, "COMPLEX64": 64, "COMPLEX128": 128}
_BROKEN = (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError,
           OverflowError, MemoryError, UnicodeDecodeError)


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
        return (self.elements * _BITS.get(self.dtype, 0) + 7) // 8


@dataclasses.dataclass(frozen=True)
class Op:
    """One operator of the graph, in execution order."""

    index: int
    name: str  # the schema's name (CONV_2D) or the name of a custom operator
    inputs: tuple[int, ...]  # tensor indices; -1 = an optional input left out
    outputs: tuple[int, ...]
    macs: int
    custom: bool


class TfliteFile:
    """Reads a .tflite file without running it.

    Attributes:
        path: The file.
        size_bytes: Its size.

    Args:
        path: A .tflite file.

    Raises:
        UserError: Missing, empty, not a .tflite file, or broken.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self._data = read_tflite(self.path)
        self.size_bytes = len(self._data)
        schema = schema_module()
        try:
            model = schema.Model.GetRootAs(self._data, 0)
            self._codes = _operator_codes(schema, model)
            graph = model.Subgraphs(0)
            self._tensors = tuple(_tensors(schema, model, graph, self.size_bytes))
            self._inputs = tuple(int(i) for i in graph.InputsAsNumpy())
            self._outputs = tuple(int(i) for i in graph.OutputsAsNumpy())
            self._ops = tuple(self._read_ops(graph))
            self._check_indices()
        except _BROKEN as error:
            raise UserError(f"{self.path}: a broken .tflite file ({error}); export it again "
                            "or copy it again") from error

    def ops(self) -> tuple[Op, ...]:
        """The operators of the first subgraph in execution order."""
        return self._ops

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the first subgraph by index."""
        return self._tensors

    def inputs(self) -> tuple[Tensor, ...]:
        """The graph's inputs."""
        return tuple(self._tensors[i] for i in self._inputs)

    def outputs(self) -> tuple[Tensor, ...]:
        """The graph's outputs."""
        return tuple(self._tensors[i] for i in self._outputs)

    def macs(self) -> int:
        """Multiply-accumulates of one invoke: convolutions and matrix products alone."""
        return sum(op.macs for op in self._ops)

    def parameters(self) -> int:
        """Number of stored weights; shapes, indices and axes do not count."""
        return sum(tensor.elements for tensor in self._weights())

    def weight_bytes(self) -> int:
        """Bytes of those weights as they are stored."""
        return sum(tensor.bytes for tensor in self._weights())

    def sha256(self) -> str:
        """The file's checksum."""
        return hashlib.sha256(self._data).hexdigest()

    def schema_object(self) -> Any:
        """The whole file as the schema's mutable `ModelT`, for cutting graphs out of it."""
        return schema_module().ModelT.InitFromPackedBuf(self._data, 0)

    def _weights(self) -> list[Tensor]:
        """Constant floats anywhere, and whatever a convolution holds; shared buffers once."""
        of_weighted = {i for op in self._ops if op.name in _WEIGHTED for i in op.inputs if i >= 0}
        weights = {}
        for op in self._ops:
            for i in op.inputs:
                if i < 0 or not self._tensors[i].constant:
                    continue
                shape_like = self._tensors[i].dtype in ("INT32", "INT64", "BOOL")
                if (i in of_weighted and op.name != "TRANSPOSE_CONV") or not shape_like:
                    weights.setdefault(self._tensors[i].buffer, self._tensors[i])
        return list(weights.values())

    def _read_ops(self, graph: Any) -> list[Op]:
        ops = []
        for index in range(_bounded(graph.OperatorsLength(), self.size_bytes)):
            operator = graph.Operators(index)
            name, custom = self._codes[operator.OpcodeIndex()]
            inputs = _indices(operator.InputsAsNumpy())
            outputs = _indices(operator.OutputsAsNumpy())
            macs = _macs(name, [self._tensors[i] if i >= 0 else None for i in inputs],
                         [self._tensors[i] for i in outputs])
            ops.append(Op(index, name, inputs, outputs, macs, custom))
        return ops

    def _check_indices(self) -> None:
        if not self._inputs or not self._outputs:
            raise ValueError("no input or no output")
        count = len(self._tensors)
        used = [i for op in self._ops for i in (*op.inputs, *op.outputs)]
        if not all(-1 <= i < count for i in (*self._inputs, *self._outputs, *used)):
            raise ValueError("a tensor index out of range")


def read_tflite(path: str | os.PathLike) -> bytes:
    """Reads a .tflite file's bytes and checks that it is one by its header.

    Args:
        path: The file.

    Returns:
        The bytes.

    Raises:
        UserError: Missing, unreadable, empty, or without the `TFL3` mark.
    """
    path = pathlib.Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a .tflite file") from None
    if not data:
        raise UserError(f"{path}: the file is empty; export or copy it again")
    if data[4:8] != b"TFL3":
        raise UserError(f"{path}: not a .tflite file; export.py writes one")
    return data


def open_interpreter(
    path: str | os.PathLike, num_threads: int = 1, use_xnnpack: bool = True
) -> Any:
    """Opens a graph with its tensors allocated.

    A free height or width of the first input becomes 480x640, a free batch 1.

    Args:
        path: A .tflite file.
        num_threads: 1..64.
        use_xnnpack: Whether LiteRT's XNNPACK delegate takes the operators that it can.

    Returns:
        An `ai_edge_litert.interpreter.Interpreter`.

    Raises:
        UserError: A bad file or number of threads, an operator that LiteRT does not have, or no
            interpreter installed.
    """
    if not 1 <= num_threads <= MAX_THREADS:
        raise UserError(f"--num_threads={num_threads}: give 1 to {MAX_THREADS}")
    read_tflite(path)
    litert = interpreter_module()
    kind = litert.OpResolverType
    resolver = kind.AUTO if use_xnnpack else kind.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = litert.Interpreter(
            model_path=os.fspath(path), num_threads=num_threads,
            experimental_op_resolver_type=resolver)
        _fix_free_sizes(interpreter)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: LiteRT cannot open it ({reason}); export it again") from error
    return interpreter


def delegate_partitions(interpreter: Any) -> tuple[int, tuple[str, ...]]:
    """Tells how the delegate divided an opened graph.

    Args:
        interpreter: As `open_interpreter` returns it.

    Returns:
        The number of delegate partitions (0 without a delegate), and the names of the operators
        that were left to LiteRT's own kernels.
    """
    nodes = interpreter._get_ops_details()  # the one place where LiteRT tells its partitions
    partitions = [node for node in nodes if node["op_name"] == "DELEGATE"]
    plain = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producer = {int(i): node for node in plain for i in node["outputs"]}
    taken = set()
    for partition in partitions:
        border = {int(i) for i in partition["inputs"]}
        open_tensors = [int(i) for i in partition["outputs"]]
        while open_tensors:
            node = producer.get(open_tensors.pop())
            if node is None or node["index"] in taken:
                continue
            taken.add(node["index"])
            open_tensors += [int(i) for i in node["inputs"] if int(i) not in border]
    left = tuple(node["op_name"] for node in plain if node["index"] not in taken)
    return len(partitions), left


def interpreter_module() -> ModuleType:
    """The module that holds `Interpreter` and `OpResolverType`.

    Returns:
        `ai_edge_litert.interpreter`, else TensorFlow's.

    Raises:
        UserError: Neither is installed.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        try:
            from tensorflow.lite.python import interpreter
        except ImportError:
            raise UserError(INSTALL_HINT) from None
    return interpreter


@functools.cache
def schema_module() -> ModuleType:
    """The module of the .tflite format's classes (`Model`, `ModelT`, ...).

    Returns:
        `ai_edge_litert.schema_py_generated`, else TensorFlow's.

    Raises:
        UserError: Neither is installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        try:
            from tensorflow.lite.python import schema_py_generated
        except ImportError:
            raise UserError(INSTALL_HINT) from None
    return schema_py_generated


@functools.cache
def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def _operator_codes(schema: ModuleType, model: Any) -> list[tuple[str, bool]]:
    codes = []
    for index in range(_bounded(model.OperatorCodesLength(), len(model._tab.Bytes))):
        code = model.OperatorCodes(index)
        # Files older than 2020 hold the number in the narrow field alone.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = number == schema.BuiltinOperator.CUSTOM
        name = code.CustomCode().decode() if custom else _names(schema.BuiltinOperator)[number]
        codes.append((name, custom))
    return codes


def _tensors(schema: ModuleType, model: Any, graph: Any, size: int) -> list[Tensor]:
    tensors = []
    for index in range(_bounded(graph.TensorsLength(), size)):
        tensor = graph.Tensors(index)
        shape = tensor.ShapeAsNumpy()
        shape = () if isinstance(shape, int) else tuple(max(1, int(n)) for n in shape)
        constant = model.Buffers(tensor.Buffer()).DataLength() > 0
        dtype = _names(schema.TensorType)[tensor.Type()]
        name = (tensor.Name() or b"").decode()
        tensors.append(Tensor(index, name, shape, dtype, constant, tensor.Buffer()))
    return tensors


def _bounded(length: int, size_bytes: int) -> int:
    """A broken file may claim any length; an entry takes at least 4 bytes."""
    if length > size_bytes // 4:
        raise ValueError("a list longer than the file")
    return length


def _indices(values: Any) -> tuple[int, ...]:
    return () if isinstance(values, int) else tuple(int(i) for i in values)


def _macs(name: str, inputs: list[Tensor | None], outputs: list[Tensor]) -> int:
    if name == "CONV_2D":  # filter [out, height, width, in]
        return outputs[0].elements * math.prod(inputs[1].shape[1:])
    if name == "DEPTHWISE_CONV_2D":  # filter [1, height, width, channels]
        return outputs[0].elements * math.prod(inputs[1].shape[1:3])
    if name == "TRANSPOSE_CONV":  # inputs: output shape, filter [out, height, width, in], picture
        return inputs[2].elements * math.prod(inputs[1].shape[:3])
    if name in ("FULLY_CONNECTED", "BATCH_MATMUL"):
        return outputs[0].elements * inputs[0].shape[-1]
    return 0


def _fix_free_sizes(interpreter: Any) -> None:
    detail = interpreter.get_input_details()[0]
    signature = [int(n) for n in detail["shape_signature"]]
    if -1 not in signature:
        return
    vga = np.array([1, 480, 640, 3])
    shape = [vga[i] if n < 0 and len(signature) == 4 else max(n, 1)
             for i, n in enumerate(signature)]
    interpreter.resize_tensor_input(detail["index"], [int(n) for n in shape])
