"""Values in a .tflite file that crash LiteRT's native code instead of being refused.

A scale of 0 or NaN, an operator that writes into the file's own constants and a picture without
area each end the process by SIGSEGV or SIGFPE; all of these stand in the tables of the file.
"""

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from mai_depth.tflite.schema import BITS
from mai_depth.tflite.schema import bounded
from mai_depth.tflite.schema import indices
from mai_depth.tflite.schema import litert
from mai_depth.tflite.schema import names

MAX_SIDE = 8192  # of a picture or a map
MAX_TENSOR_BYTES = 1 << 31

_INTEGERS = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32}


def check_tables(data: bytes) -> None:
    """Checks sizes, scales, constants and the order of the operators, in all subgraphs.

    Args:
        data: A .tflite file.

    Raises:
        ValueError: What LiteRT should not see.
        Exception: Of many kinds for a broken file, see `schema.parse`.
    """
    schema = litert().schema
    model = schema.Model.GetRootAs(data, 0)
    for number in range(bounded(model.SubgraphsLength(), len(data))):
        _check_subgraph(schema, model, model.Subgraphs(number), len(data))


def _check_subgraph(schema: ModuleType, model: Any, graph: Any, size: int) -> None:
    tensors = [graph.Tensors(i) for i in range(bounded(graph.TensorsLength(), size))]
    operators = [graph.Operators(i) for i in range(bounded(graph.OperatorsLength(), size))]
    inputs, outputs = indices(graph.InputsAsNumpy()), indices(graph.OutputsAsNumpy())
    if not all(0 <= i < len(tensors) for i in (*inputs, *outputs)):
        raise ValueError("an input or output out of range")
    constants = set()
    for index, tensor in enumerate(tensors):
        try:
            if _check_tensor(schema, model, tensor):
                constants.add(index)
        except ValueError as error:
            raise ValueError(f"tensor {index}: {error}") from error
    for index in {*inputs, *outputs}:
        shape = _shape(tensors[index])
        if 0 in shape or (len(shape) == 4 and max(shape) > MAX_SIDE):
            raise ValueError(f"an input or output of {list(shape)}; sides are 1 to {MAX_SIDE}")
    if constants & set(inputs):
        raise ValueError("an input that is a constant")
    state = {i for i, tensor in enumerate(tensors)
             if tensor.IsVariable() or math.prod(_shape(tensor)) == 0}
    _check_order(operators, {*inputs, *constants, *state}, {*inputs, *constants})


def _check_order(operators: list[Any], known: set[int], fixed: set[int]) -> None:
    """An operator reads what is known before it, and writes what nothing else has given."""
    for operator in operators:
        read = set(indices(operator.InputsAsNumpy())) - {-1}
        written = set(indices(operator.OutputsAsNumpy()))
        if not read <= known:
            raise ValueError(f"tensor {min(read - known)} is read before it is written")
        if written & fixed:
            raise ValueError(f"tensor {min(written & fixed)} is written although it is fixed")
        known, fixed = known | written, fixed | written


def _check_tensor(schema: ModuleType, model: Any, tensor: Any) -> bool:
    """Returns whether it is a constant."""
    shape, dtype = _shape(tensor), names(schema.TensorType)[tensor.Type()]
    if any(side < 0 for side in shape):
        raise ValueError(f"a shape of {list(shape)}")
    needed = (math.prod(shape) * BITS.get(dtype, 0) + 7) // 8
    if needed > MAX_TENSOR_BYTES:
        raise ValueError(f"{needed / 1e9:.0f} GB")
    if not 0 <= tensor.Buffer() < model.BuffersLength():
        raise ValueError("no such buffer")
    stored = model.Buffers(tensor.Buffer()).DataLength()
    if 0 < stored < needed and tensor.Sparsity() is None:
        raise ValueError(f"a constant of {stored} bytes, its shape needs {needed}")
    for fault in _quantization_faults(tensor.Quantization(), shape, _INTEGERS.get(dtype)):
        raise ValueError(fault)
    return stored > 0


def _quantization_faults(
    quantization: Any, shape: tuple[int, ...], dtype: type | None
) -> Iterator[str]:
    if quantization is None or not quantization.ScaleLength():
        return
    scales = quantization.ScaleAsNumpy()
    if not (np.isfinite(scales) & (scales > 0)).all():
        bad = scales[~(np.isfinite(scales) & (scales > 0))][0]
        yield f"a scale of {bad:g}"
    if len(scales) > 1:
        axis = quantization.QuantizedDimension()
        if not 0 <= axis < len(shape) or shape[axis] != len(scales):
            yield f"{len(scales)} scales for a shape of {list(shape)}"
    zero_points = quantization.ZeroPointAsNumpy()
    if dtype is not None and quantization.ZeroPointLength():
        limits = np.iinfo(dtype)
        if zero_points.min() < limits.min or zero_points.max() > limits.max:
            yield f"a zero point outside {limits.min}..{limits.max}"


def _shape(tensor: Any) -> tuple[int, ...]:
    return indices(tensor.ShapeAsNumpy())
