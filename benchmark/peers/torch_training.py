"""PyTorch's side of `benchmark.peers.training`: DataLoader, augmentation, step, average.

Runs as a process of its own, in any Python that has PyTorch; nothing here imports TensorFlow.
"""

import math
import multiprocessing
import os
import pathlib
import time
from typing import Any

from benchmark.process import serve
from mai_depth.data.augmentation import Augmentation
from mai_depth.errors import UserError
from mai_depth.errors import reason_of

try:
    import numpy as np
    import torch

    from benchmark.peers.torch_network import KerasNetwork
    from benchmark.peers.torch_network import depth_loss
    from benchmark.peers.torch_network import enlarged
except ModuleNotFoundError as missing:  # told by `check`, in one line
    MISSING: str | None = missing.name
else:
    MISSING = None

_LOADERS = 2  # processes; a picture takes one of them 1.3 ms, so they are ahead of the training

_training: Any = None


class Views:
    """Augmented views of decoded pictures, as `mai_depth.data.augment` draws them.

    Args:
        folder: Holds `rgb.npy` uint8 [N, H, W, 3] and `depth.npy` uint16 [N, H, W].
        size: Height and width of a view.
        units_per_m: Stored units of depth in a metre.
        augmentation: What is varied; never a roll.
    """

    def __init__(self, folder: pathlib.Path, size: tuple[int, int], units_per_m: float,
                 augmentation: Augmentation):
        self.rgb = np.load(folder / "rgb.npy", mmap_mode="r")
        self.depth = np.load(folder / "depth.npy", mmap_mode="r")
        self.size, self.units_per_m, self.augmentation = size, units_per_m, augmentation

    def __len__(self) -> int:
        return len(self.rgb)

    def __getitem__(self, index: int) -> tuple["torch.Tensor", "torch.Tensor"]:
        """A picture [3, *size] in 0..255 and its depth [1, *size] in metres."""
        draw = torch.rand(9).tolist()
        fraction = 1 - draw[0] * (1 - self.augmentation.min_crop)
        rows, columns = (
            slice(start := round(place * (1 - fraction) * side), start + round(fraction * side))
            for place, side in zip(draw[1:3], self.rgb.shape[1:3], strict=True))
        picture = torch.from_numpy(np.array(self.rgb[index, rows, columns]))
        picture = enlarged(picture.permute(2, 0, 1)[None].float(), self.size)[0]
        height, width = (piece.stop - piece.start for piece in (rows, columns))
        nearest = np.ix_(*(
            piece.start + ((np.arange(n) + 0.5) * side / n).astype(int)
            for piece, side, n in zip((rows, columns), (height, width), self.size, strict=True)))
        depth = torch.from_numpy(self.depth[index][nearest].astype(np.float32))[None]
        depth = depth * (fraction / self.units_per_m)
        if draw[3] < 0.5 and self.augmentation.flip:
            picture, depth = picture.flip(2), depth.flip(2)
        return self._in_other_colors(picture, draw[4:]), depth

    def _in_other_colors(self, picture: "torch.Tensor", draw: list[float]) -> "torch.Tensor":
        aug = self.augmentation
        exponent = math.exp((2 * draw[0] - 1) * math.log1p(aug.gamma))
        picture = 255 * (picture / 255) ** exponent
        brightness = 1 + (2 * draw[1] - 1) * aug.brightness
        color = 1 + (2 * torch.tensor(draw[2:5]) - 1) * aug.color
        return (picture * (brightness * color)[:, None, None]).clamp(0, 255)


class Training:
    """A network, its optimizer, its average and its batches.

    Args:
        folder: Of `keras_training.write_network`.
        compiled: Whether `torch.compile` makes the step.
        settings: Of the run, see `keras_training.open_training`.
    """

    def __init__(self, folder: pathlib.Path, compiled: bool, settings: dict[str, Any]):
        self.settings = settings
        self.network = KerasNetwork(folder).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), settings["learning_rate"], eps=settings["adam_epsilon"],
            fused=True)
        self.decay = torch.optim.lr_scheduler.PolynomialLR(
            self.optimizer, settings["total_steps"], settings["decay_power"])
        self.average = torch.optim.swa_utils.AveragedModel(
            self.network, use_buffers=True,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings["ema_momentum"]))
        self.loss = torch.compile(self._loss) if compiled else self._loss
        views = Views(folder, tuple(settings["size"]), settings["units_per_m"],
                      Augmentation(**settings["augmentation"]))
        self.loader = torch.utils.data.DataLoader(
            views, settings["batch_size"], shuffle=True, drop_last=True, num_workers=_LOADERS,
            persistent_workers=True)
        self.batches = iter(self.loader)

    def _loss(self, image: "torch.Tensor", depth: "torch.Tensor") -> "torch.Tensor":
        image = image.contiguous(memory_format=torch.channels_last)
        predicted = enlarged(self.network(image)["depth"], depth.shape[2:])
        return depth_loss(depth, predicted, self.settings["max_depth_m"],
                          self.settings["gradient_loss_weight"])

    def step(self) -> float:
        """Learns from one batch; returns its loss."""
        loss = self.loss(*self._next())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.decay.step()
        self.average.update_parameters(self.network)
        return loss.item()

    def _next(self) -> Any:
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            return next(self.batches)


def check() -> None:
    """Raises `UserError` where PyTorch is not installed."""
    if MISSING:
        raise UserError(f"--torch_python: that Python has no {MISSING}; install it there (pip "
                        "install torch numpy), or name another")


def open_training(folder: str, compiled: bool, settings: dict[str, Any]) -> float:
    """Builds a training.

    Args:
        folder: Of `keras_training.write_network`.
        compiled: Whether `torch.compile` makes the step.
        settings: Of `keras_training.open_training`.

    Returns:
        The loss of the batch in `folder`, before anything is learned.

    Raises:
        UserError: PyTorch cannot compile here.
    """
    global _training
    _training = Training(pathlib.Path(folder), compiled, settings)
    with np.load(pathlib.Path(folder) / "batch.npz") as batch:
        image, depth = (torch.from_numpy(batch[name]).permute(0, 3, 1, 2)
                        for name in ("image", "depth"))
    try:
        before = {name: value.clone() for name, value in _training.network.named_buffers()}
        loss = _training.loss(image, depth.contiguous()).item()
        for name, value in _training.network.named_buffers():
            value.copy_(before[name])
    except Exception as error:  # of the compiler, of many types
        raise UserError(f"PyTorch cannot compile here ({reason_of(error)[:150]}); give "
                        "--nocompiled") from error
    return loss


def take_steps(count: int) -> dict[str, float]:
    """Trains.

    Args:
        count: Steps.

    Returns:
        `wall_s` of these; `cpu_s` of this process and its loaders since their start; `loss`.
    """
    start, loss = time.perf_counter(), math.nan
    for _ in range(count):
        loss = _training.step()
    return {"wall_s": time.perf_counter() - start, "cpu_s": _cpu_s(), "loss": loss}


def _cpu_s() -> float:
    """Processor time of this process and of those that it has started and that live (Linux)."""
    times = os.times()
    total, per_second = times.user + times.system, os.sysconf("SC_CLK_TCK")
    for child in multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / per_second
    return total


if __name__ == "__main__":
    serve({"check": check, "open": open_training, "steps": take_steps})
