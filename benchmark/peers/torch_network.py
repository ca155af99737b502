"""A Keras network, operation by operation, and its losses in PyTorch: `torch_training` trains it.

Needs PyTorch and NumPy alone.
"""

import functools
import json
import operator
import pathlib
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

NETWORK = "network.json"
WEIGHTS = "weights.npz"

_MIN_DEPTH_M = 1e-3
_SMALLEST_SQUARE = 1e-12  # as in `losses.silog`: the derivative of the square root is finite


class KerasNetwork(torch.nn.Module):
    """Interprets what `keras_training.write_network` has written; [batch, channels, height, width].

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: pathlib.Path):
        super().__init__()
        description = json.loads((folder / NETWORK).read_text())
        self.rows, self.outputs = description["rows"], description["outputs"]
        with np.load(folder / WEIGHTS) as weights:
            for row in self.rows:
                self._add_weights(row, weights)
        # On a CPU oneDNN's convolutions are faster with the channels last.
        self.to(memory_format=torch.channels_last)

    def _add_weights(self, row: dict[str, Any], weights: Any) -> None:
        for number in range(row["weights"]):
            name = f"{row['name']}/{number}"
            value = torch.from_numpy(_in_torch_order(row["kind"], weights[name]))
            key = _key(row["name"], number)
            if row["kind"] == "BatchNormalization" and number >= 2:
                self.register_buffer(key, value)
            else:
                self.register_parameter(key, torch.nn.Parameter(value))

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs of the Keras model by name, in training mode if the module is."""
        values: dict[str, torch.Tensor] = {}
        for row in self.rows:
            if row["kind"] == "InputLayer":
                values[row["name"]] = image
                continue
            weights = [getattr(self, _key(row["name"], n)) for n in range(row["weights"])]
            compute = _OPERATIONS[row["kind"]]
            inputs = [values[name] for name in row["inputs"]]
            if row["kind"] == "BatchNormalization":
                row = {**row, "training": self.training}
            values[row["name"]] = compute(inputs, weights, row)
        return {name: values[row] for name, row in self.outputs.items()}


def _key(name: str, number: int) -> str:
    return f"{name}_{number}".replace(".", "_")


def _in_torch_order(kind: str, value: np.ndarray) -> np.ndarray:
    order = {"Conv2D": (3, 2, 0, 1), "DepthwiseConv2D": (2, 3, 0, 1)}.get(kind)
    return np.ascontiguousarray(value.transpose(order) if value.ndim == 4 else value)


def _convolution(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    (x,), config = inputs, row["config"]
    kernel, stride = config["kernel_size"], config["strides"]
    groups = x.shape[1] if row["kind"] == "DepthwiseConv2D" else 1
    padding: Any = 0
    if config["padding"] == "same":
        sides = [_same_padding(n, k, s) for n, k, s in zip(
            x.shape[2:], kernel, stride, strict=True)]
        if all(before == after for before, after in sides):
            padding = [before for before, _ in sides]
        else:
            x = F.pad(x, (*sides[1], *sides[0]))
    return F.conv2d(x, *weights, stride=stride, padding=padding, groups=groups)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _batch_norm(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    gamma, beta, mean, variance = weights
    return F.batch_norm(inputs[0], mean, variance, gamma, beta, row["training"],
                        1 - row["config"]["momentum"], row["config"]["epsilon"])


def _rescaling(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    return inputs[0] * row["config"]["scale"] + row["config"]["offset"]


def _relu(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    most = row["config"]["max_value"]
    return F.relu(inputs[0]) if most is None else F.hardtanh(inputs[0], 0.0, most)


def _activation(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    functions = {"hard_silu": F.hardswish, "sigmoid": torch.sigmoid, "relu": F.relu}
    return functions[row["config"]["activation"]](inputs[0])


def _zero_padding(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    rows, columns = row["config"]["padding"]
    return F.pad(inputs[0], (*columns, *rows))


def _upsampling(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    factors = row["config"]["size"]
    size = [side * n for side, n in zip(inputs[0].shape[2:], factors, strict=True)]
    return enlarged(inputs[0], size, row["config"]["interpolation"])


def _pooling(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    return inputs[0].mean((2, 3), keepdim=True)


def _concatenate(inputs: list, weights: list, row: dict[str, Any]) -> torch.Tensor:
    return torch.cat(inputs, 1)


def _folded(function: Any) -> Any:
    """Of two maps, or of a map and the numbers in the row."""
    return lambda inputs, weights, row: functools.reduce(function, [*inputs, *row["numbers"]])


_OPERATIONS = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "BatchNormalization": _batch_norm,
    "Rescaling": _rescaling,
    "ReLU": _relu,
    "Activation": _activation,
    "ZeroPadding2D": _zero_padding,
    "UpSampling2D": _upsampling,
    "GlobalAveragePooling2D": _pooling,
    "Concatenate": _concatenate,
    "Add": _folded(operator.add),
    "Multiply": _folded(operator.mul),
}


def enlarged(x: torch.Tensor, size: Any, interpolation: str = "bilinear") -> torch.Tensor:
    """Resizes [batch, channels, height, width] as Keras does, with half-pixel centres."""
    if interpolation == "nearest":
        return F.interpolate(x, size, mode="nearest")
    return F.interpolate(x, size, mode=interpolation, align_corners=False)


def depth_loss(
    y_true: torch.Tensor, y_pred: torch.Tensor, max_depth_m: float, gradient_loss_weight: float
) -> torch.Tensor:
    """`SiLog` and, with a weight, `GradientLoss` of `mai_depth.training.losses`.

    Args:
        y_true: [batch, 1, height, width] metres, 0 = missing.
        y_pred: The same of the network.
        max_depth_m: Truth beyond it does not count.
        gradient_loss_weight: 0 leaves it out.

    Returns:
        The mean over the pictures that have something to compare.
    """
    mask = (y_true > _MIN_DEPTH_M) & (y_true <= max_depth_m)
    truth = torch.where(mask, y_true, 1.0)
    error = torch.log(torch.where(mask, y_pred, 1.0).clamp(min=_MIN_DEPTH_M)) - torch.log(truth)
    loss = _mean_of(_silog(error, mask), mask.flatten(1).any(1))
    if gradient_loss_weight:
        loss = loss + gradient_loss_weight * _gradient_loss(error, mask)
    return loss


def _image_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)


def _mean_of(losses: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    return (losses * counted).sum() / counted.sum().clamp(min=1)


def _silog(error: torch.Tensor, mask: torch.Tensor, focus: float = 0.85) -> torch.Tensor:
    mean = _image_mean(error, mask)
    variance = _image_mean((error - mean[:, None, None, None]).square(), mask)
    square = variance + (1 - focus) * mean.square()
    tiny = square <= _SMALLEST_SQUARE
    return 10 * torch.where(tiny, 0.0, torch.where(tiny, 1.0, square).sqrt())


def _gradient_loss(error: torch.Tensor, mask: torch.Tensor, scales: int = 3) -> torch.Tensor:
    total, counted = torch.zeros(len(error)), torch.zeros(len(error), dtype=torch.bool)
    for step in (2**scale for scale in range(scales)):
        g, m = error[:, :, ::step, ::step], mask[:, :, ::step, ::step]
        down, right = m[:, :, 1:] & m[:, :, :-1], m[..., 1:] & m[..., :-1]
        sums = ((g[:, :, 1:] - g[:, :, :-1]).abs() * down).sum((1, 2, 3))
        sums = sums + ((g[..., 1:] - g[..., :-1]).abs() * right).sum((1, 2, 3))
        count = down.sum((1, 2, 3)) + right.sum((1, 2, 3))
        total, counted = total + sums / count.clamp(min=1), counted | (count > 0)
    return _mean_of(total, counted)
