"""This project's side of `benchmark.peers.training`, in a process of its own."""

import dataclasses
import json
import os
import pathlib
import time
from typing import Any

import numpy as np

from benchmark.process import serve
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.sources import DataOptions
from mai_depth.environment import start_tensorflow
from mai_depth.training.job import Student
from mai_depth.training.job import TrainingJob
from mai_depth.training.run import Recipe

_PICTURES = 256  # decoded, and written once more where PyTorch finds them: 390 MB

_training: Any = None


class Training:
    """The loop of a run, whose epochs never end.

    Args:
        run: Of `plan_student`.
    """

    def __init__(self, run: Any):
        from mai_depth.stopping import Request
        from mai_depth.training.attempt import Attempt
        from mai_depth.training.attempt import epoch_batches
        from mai_depth.training.callbacks import AverageWeights
        from mai_depth.training.loop import Loop

        self.run = run
        self.attempt = Attempt(run, None, halvings=0)
        self.loop = Loop(self.attempt.distiller, self.attempt.workers, Request())
        self.average = AverageWeights(
            self.attempt.trained, self.attempt.average, run.recipe.ema_momentum)
        self.batches = iter(epoch_batches(self.attempt.average, run, 0))

    def step(self) -> float:
        """Learns from one batch; returns the mean loss so far."""
        logs = self.loop._take_step(next(self.batches))
        self.average.on_train_batch_end(0, logs)
        return logs["total_loss"]


def open_training(
    folder: str, data_dir: list[str], cache_dir: str, student: str, recipe: dict[str, Any]
) -> dict[str, Any]:
    """Builds a training, and writes what PyTorch needs for the same one.

    Args:
        folder: Where to write it; empty.
        data_dir: As in train.py.
        cache_dir: As in train.py.
        student: A preset.
        recipe: Of a `Recipe`, as JSON.

    Returns:
        `settings` for `torch_training.open_training`; `loss` of a batch that lies in `folder`.
    """
    global _training
    start_tensorflow()
    from mai_depth.training.plan import plan_student
    from mai_depth.training.runs import open_and_describe

    place = pathlib.Path(folder)
    recipe["augmentation"] = Augmentation(**recipe["augmentation"])
    data = DataOptions(data_dir=tuple(data_dir), cache_dir=cache_dir)
    job = TrainingJob(place / "run", data, Student(student), recipe=Recipe(**recipe))
    train, validation = open_and_describe(data)
    pairs = train.select(range(min(_PICTURES, len(train))))
    _training = Training(plan_student(job, pairs, validation))
    np.save(place / "rgb.npy", pairs.rgb[:])
    np.save(place / "depth.npy", pairs.depth[:])
    write_network(_training.attempt.distiller.student, place)
    run = _training.run
    batch = next(_training.batches)
    settings = {
        **dataclasses.asdict(run.recipe), "max_depth_m": run.max_depth_m,
        "units_per_m": pairs.units_per_m, "total_steps": run.steps * run.recipe.epochs,
        "size": list(batch["image"].shape[1:3])}
    np.savez(place / "batch.npz", **{name: value.numpy() for name, value in batch.items()})
    return {"settings": settings, "loss": _loss_of(batch)}


def _loss_of(batch: dict[str, Any]) -> float:
    """Of a batch, in training mode, with the moving statistics left as they are."""
    distiller = _training.attempt.distiller
    weights = distiller.student.get_weights()
    student = distiller.student(batch["image"], training=True)
    loss = float(distiller._terms(student, batch["depth"], None)["total_loss"])
    distiller.student.set_weights(weights)
    return loss


def write_network(model: Any, folder: pathlib.Path) -> None:
    """Writes a Functional model's operations and weights for `torch_network.KerasNetwork`.

    Args:
        model: Whose outputs are a dict of maps.
        folder: An existing folder.
    """
    rows, weights = [], {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            operation = node.operation
            values = getattr(operation, "weights", [])
            config = operation.get_config() if hasattr(operation, "weights") else {}
            rows.append({
                "name": operation.name,
                "kind": type(operation).__name__.removeprefix("Fused"),
                "inputs": [tensor._keras_history.operation.name for tensor in node.input_tensors],
                "numbers": [one for one in node.arguments.args if isinstance(one, float)],
                "config": {name: value for name, value in config.items()
                           if isinstance(value, (int, float, str, tuple, list, type(None)))},
                "weights": len(values)})
            weights |= {f"{operation.name}/{number}": value.numpy()
                        for number, value in enumerate(values)}
    outputs = {name: tensor._keras_history.operation.name
               for name, tensor in model.output.items()}
    (folder / "network.json").write_text(json.dumps({"rows": rows, "outputs": outputs}))
    np.savez(folder / "weights.npz", **weights)


def take_steps(count: int) -> dict[str, float]:
    """Trains.

    Args:
        count: Steps.

    Returns:
        `wall_s` of these; `cpu_s` of this process since its start; `loss`.
    """
    start, loss = time.perf_counter(), float("nan")
    for _ in range(count):
        loss = _training.step()
    wall = time.perf_counter() - start
    times = os.times()
    return {"wall_s": wall, "cpu_s": times.user + times.system, "loss": loss}


if __name__ == "__main__":
    serve({"open": open_training, "steps": take_steps})
