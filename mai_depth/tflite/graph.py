"""A .tflite file: its operators, tensors and costs, and an interpreter that runs it.

Needs NumPy and ai-edge-litert alone (TensorFlow's own interpreter where only that is installed).
"""

import collections
import hashlib
import os
import pathlib
import struct
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from mai_depth.errors import UserError
from mai_depth.errors import reason_of
from mai_depth.streams import without_lines
from mai_depth.tflite import schema as tflite_schema
from mai_depth.tflite.checks import check_tables
from mai_depth.tflite.schema import Op
from mai_depth.tflite.schema import Tensor
from mai_depth.tflite.schema import litert

MAX_THREADS = 64

_WEIGHTED = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
_INDEX_TYPES = frozenset(("INT32", "INT64", "BOOL"))
_BROKEN = (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError,
           OverflowError, MemoryError, UnicodeDecodeError)


class TfliteFile:
    """Reads a .tflite file without running it.

    Attributes:
        path: The file.
        size_bytes: Its size.

    Args:
        path: A .tflite file.

    Raises:
        UserError: Missing, empty, not a .tflite file, broken, or with values that crash native code
            (see `checks`).
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self._data = read_tflite(self.path)
        self.size_bytes = len(self._data)
        try:
            self._graph = tflite_schema.parse(self._data)
            check_tables(self._data)
        except _BROKEN as error:
            raise UserError(f"{self.path}: a broken .tflite file ({error}); export it again "
                            "or copy it again") from error

    def ops(self) -> tuple[Op, ...]:
        """The operators of the first subgraph in execution order."""
        return self._graph.ops

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors of the first subgraph by index."""
        return self._graph.tensors

    def inputs(self) -> tuple[Tensor, ...]:
        """The graph's inputs."""
        return tuple(self._graph.tensors[i] for i in self._graph.inputs)

    def outputs(self) -> tuple[Tensor, ...]:
        """The graph's outputs."""
        return tuple(self._graph.tensors[i] for i in self._graph.outputs)

    def macs(self) -> int:
        """Multiply-accumulates of one invoke: convolutions and matrix products alone.

        `network.macs.count_macs` is the other counter, because this one needs no Keras and sees
        what export made of the model, e.g. a resize that became a convolution.
        """
        return sum(op.macs for op in self._graph.ops)

    def parameters(self) -> int:
        """Number of stored weights; shapes, indices and axes do not count."""
        return sum(tensor.elements for tensor in self._weights())

    def weight_bytes(self) -> int:
        """Bytes of those weights as they are stored."""
        return sum(tensor.bytes for tensor in self._weights())

    def moved_bytes(self) -> int:
        """Bytes of inputs, outputs and weights as they are stored.

        They pass through memory in every invoke, even where the caches hold everything else.
        """
        return sum(tensor.bytes for tensor in self.inputs() + self.outputs()) + self.weight_bytes()

    def sha256(self) -> str:
        """The file's checksum."""
        return hashlib.sha256(self._data).hexdigest()

    def schema_object(self) -> Any:
        """The whole file as the schema's mutable `ModelT`, for cutting graphs out of it."""
        return litert().schema.ModelT.InitFromPackedBuf(self._data, 0)

    def number_format(self) -> str:
        """Names the number format in which most of the work is done.

        Returns:
            `float32`, `float16 weights`, `int8 weights` (dynamic range), `int8`, `int16x8`,
            `uint8`, or `-` for a graph without convolutions and matrix products.
        """
        work: collections.Counter[str] = collections.Counter()
        for op in self._graph.ops:
            if op.macs and len(op.inputs) >= 2:
                work[self._format_of(op)] += op.macs
        return max(work, key=work.__getitem__, default="-")

    def _format_of(self, op: Op) -> str:
        tensors = self._graph.tensors
        activation, weights = tensors[op.outputs[0]].dtype.lower(), op.inputs[1]
        unpacked = {o.outputs[0]: o.inputs[0] for o in self._graph.ops if o.name == "DEQUANTIZE"}
        stored = tensors[unpacked.get(weights, weights)].dtype.lower()
        if (activation, stored) == ("int16", "int8"):
            return "int16x8"
        return activation if stored == activation else f"{stored} weights"

    def _weights(self) -> list[Tensor]:
        """Constant floats anywhere, and whatever a convolution holds; shared buffers once."""
        weights: dict[int, Tensor] = {}
        for op in self._graph.ops:
            weighted = op.name in _WEIGHTED
            for tensor in (self._graph.tensors[i] for i in op.inputs if i >= 0):
                # An int32 is a bias of a quantized convolution, or else a shape, an axis, ...
                if tensor.constant and (weighted or tensor.dtype not in _INDEX_TYPES):
                    weights.setdefault(tensor.buffer, tensor)
        return list(weights.values())


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
    TfliteFile(path)  # its checks: native code crashes on what they refuse
    runtime = litert().interpreter
    kind = runtime.OpResolverType
    resolver = kind.AUTO if use_xnnpack else kind.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = runtime.Interpreter(
            model_path=os.fspath(path), num_threads=num_threads,
            experimental_op_resolver_type=resolver)
        _fix_free_sizes(interpreter)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: LiteRT cannot open it ({reason_of(error)}); export it again"
                        ) from error
    return interpreter


def without_greeting() -> AbstractContextManager[None]:
    """Drops what LiteRT says on stderr when a process opens its first graph."""
    return without_lines("INFO: Created TensorFlow Lite XNNPACK delegate")


def open_quietly(path: str | os.PathLike, num_threads: int = 1) -> Any:
    """As `open_interpreter`, in `without_greeting`."""
    with without_greeting():
        return open_interpreter(path, num_threads)


def delegate_partitions(interpreter: Any) -> tuple[int, tuple[str, ...]]:
    """Reports how the delegate divided an opened graph.

    Args:
        interpreter: As `open_interpreter` returns it.

    Returns:
        The number of delegate partitions (0 without a delegate), and the names of the operators
        that were left to LiteRT's own kernels.
    """
    nodes = interpreter._get_ops_details()  # the only place where LiteRT reports its partitions
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


def _fix_free_sizes(interpreter: Any) -> None:
    detail = interpreter.get_input_details()[0]
    signature = [int(n) for n in detail["shape_signature"]]
    if -1 not in signature:
        return
    vga = np.array([1, 480, 640, 3])
    shape = [vga[i] if n < 0 and len(signature) == 4 else max(n, 1)
             for i, n in enumerate(signature)]
    interpreter.resize_tensor_input(detail["index"], [int(n) for n in shape])
