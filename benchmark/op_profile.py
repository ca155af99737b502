"""Where a graph's time goes: every operator cut out into a graph of its own and timed.

LiteRT's profiler cannot be reached from Python. An operator alone finds its data in the caches
and cannot be fused with its neighbours, so the sum of the parts is given beside the whole.
"""

import copy
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Generator
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import open_interpreter
from mai_depth.tflite.schema import Op
from mai_depth.tflite.schema import Tensor
from mai_depth.tflite.schema import litert

ROUND_NS = 2e6  # how long one operator runs in a round


def time_operators(
    path: str, num_threads: int, use_xnnpack: bool, num_runs: int
) -> Generator[int, None, dict[str, Any]]:
    """Times the operators of a graph one by one, in alternation.

    Args:
        path: A .tflite file.
        num_threads: 1..64.
        use_xnnpack: Whether the XNNPACK delegate is used.
        num_runs: Rounds over all operators.

    Yields:
        The number of the round that is done.

    Returns:
        `whole_ms`, the whole graph in the same rounds, and `operators`: for each
        `index`, `name`, `shape` of its output, `macs` and `ms`, in the order of the graph.
        A time is that of the fastest run: whatever interrupts hits the long ones more often.
        Operators that only unpack constants (float16 weights) belong to those that use them:
        LiteRT runs them once, not in every invoke.
    """
    file = TfliteFile(path)
    model = file.schema_object()
    unpacking = _constant_producers(file)
    operators, interpreters = [], [open_graph(path, num_threads, use_xnnpack)]
    with tempfile.TemporaryDirectory() as folder:
        for op in file.ops():
            if op.index in unpacking.values() or not op.outputs:
                continue
            needed = [unpacking[i] for i in op.inputs if i in unpacking]
            part = pathlib.Path(folder) / f"{op.index}.tflite"
            part.write_bytes(cut(model, [*needed, op.index]))
            interpreters.append(open_graph(part, num_threads, use_xnnpack))
            operators.append(op)
    durations: list[list[int]] = [[] for _ in interpreters]
    for step in range(max(2, num_runs)):
        for times, interpreter in zip(durations, interpreters, strict=True):
            times += _run(interpreter)
        yield step + 1
    parts = [_result(file, op, times)
             for op, times in zip(operators, durations[1:], strict=True)]
    return {"whole_ms": min(durations[0]) / 1e6, "operators": parts}


def by_type(operators: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums operators of one type.

    Args:
        operators: `operators` as `time_operators` returns them.

    Returns:
        For each type `name`, `count`, `ms`, `share` of the whole sum, `macs`; slowest first.
    """
    total = sum(op["ms"] for op in operators)
    groups: dict[str, dict[str, Any]] = {}
    for op in operators:
        group = groups.setdefault(op["name"], {"name": op["name"], "count": 0, "ms": 0.0,
                                               "share": 0.0, "macs": 0})
        group["count"] += 1
        group["ms"] += op["ms"]
        group["share"] += op["ms"] / total
        group["macs"] += op["macs"]
    return sorted(groups.values(), key=lambda group: -group["ms"])


def cut_core(file: TfliteFile) -> bytes | None:
    """Makes a graph of what lies between the resizes at the two ends of a graph.

    Where a graph takes camera pictures and gives camera-sized maps, that is the network without
    moving their pixels: the part that a matrix product can be compared with. It ends at the
    smallest map of one channel, because an enlargement may take several operators.

    Args:
        file: A graph.

    Returns:
        The bytes of a .tflite file, or None if the graph has no two resizes, multiplies before the
        first or after the last, or has no map of one channel between them.
    """
    ops, tensors = file.ops(), file.tensors()
    resizes = [op for op in ops if op.name.startswith("RESIZE_")]
    if len(resizes) < 2:
        return None
    first, last = resizes[0], resizes[-1]
    inner = ops[first.index + 1 : last.index]
    maps = [op.outputs[0] for op in inner if _is_map(tensors[op.outputs[0]])]
    if not maps or sum(op.macs for op in inner) < file.macs():
        return None
    end = min(reversed(maps), key=lambda index: math.prod(tensors[index].shape))
    read, chosen = {end}, []
    for op in reversed(ops):
        if op.index != first.index and read.intersection(op.outputs):
            read.update(op.inputs)
            chosen.append(op.index)
    return cut(file.schema_object(), chosen[::-1])


def cut(model: Any, operators: Sequence[int]) -> bytes:
    """Makes a graph of some operators of a graph.

    Args:
        model: The schema's `ModelT`; it is not changed.
        operators: Indices in execution order. What they read and none of them makes becomes an
            input; the outputs of the last one become the outputs.

    Returns:
        The bytes of a .tflite file.
    """
    schema, graph = litert().schema, model.subgraphs[0]
    chosen = [copy.copy(graph.operators[i]) for i in operators]
    used = sorted({int(t) for op in chosen for t in (*op.inputs, *op.outputs) if t >= 0})
    place = {-1: -1, **{tensor: k for k, tensor in enumerate(used)}}
    for op in chosen:
        op.inputs = [place[int(t)] for t in op.inputs]
        op.outputs = [place[int(t)] for t in op.outputs]
        op.intermediates = None
    part = schema.SubGraphT()
    part.tensors = [copy.copy(graph.tensors[t]) for t in used]
    buffers = [schema.BufferT()]
    for tensor in part.tensors:
        buffers.append(model.buffers[tensor.buffer])
        tensor.buffer = len(buffers) - 1
    made = {t for op in chosen for t in op.outputs}
    read = {t for op in chosen for t in op.inputs if t >= 0}
    part.inputs = [t for t in sorted(read - made) if _is_empty(buffers[t + 1])]
    part.outputs, part.operators = chosen[-1].outputs, chosen
    whole = schema.ModelT()
    whole.version, whole.operatorCodes = model.version, model.operatorCodes
    whole.buffers, whole.subgraphs = buffers, [part]
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def open_graph(path: str | os.PathLike, num_threads: int, use_xnnpack: bool) -> Any:
    """Opens a .tflite file with random numbers as its inputs.

    Args:
        path: The file.
        num_threads: 1..64.
        use_xnnpack: Whether the XNNPACK delegate is used.

    Returns:
        The LiteRT interpreter.
    """
    interpreter = open_interpreter(path, num_threads, use_xnnpack)
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape, dtype = detail["shape"], np.dtype(detail["dtype"])
        if dtype.kind == "f":
            interpreter.set_tensor(detail["index"], random.random(shape).astype(dtype))
        elif dtype.itemsize <= 2 and dtype.kind in "iu":
            values = random.integers(0, np.iinfo(dtype).max, shape)
            interpreter.set_tensor(detail["index"], values.astype(dtype))
    return interpreter


def _is_map(tensor: Tensor) -> bool:
    shape = tensor.shape
    return len(shape) == 4 and shape[3] == 1 and shape[1] * shape[2] > 1


def _is_empty(buffer: Any) -> bool:
    return buffer.data is None or len(buffer.data) == 0


def _constant_producers(file: TfliteFile) -> dict[int, int]:
    """Maps tensors that depend on constants alone to the operator that makes them."""
    tensors, producers = file.tensors(), {}
    for op in file.ops():
        if op.inputs and all(i < 0 or tensors[i].constant for i in op.inputs):
            producers.update(dict.fromkeys(op.outputs, op.index))
    return producers


def _run(interpreter: Any) -> list[int]:
    times: list[int] = []
    start = time.perf_counter_ns()
    interpreter.invoke()
    while not times or (time.perf_counter_ns() - start < ROUND_NS and len(times) < 50):
        before = time.perf_counter_ns()
        interpreter.invoke()
        times.append(time.perf_counter_ns() - before)
    return times


def _result(file: TfliteFile, op: Op, times: list[int]) -> dict[str, Any]:
    shape = list(file.tensors()[op.outputs[0]].shape)
    return {"index": op.index, "name": op.name, "shape": shape, "macs": op.macs,
            "ms": min(times) / 1e6}
