"""Where the time of a training goes: each part of a step and of an epoch by itself."""

import dataclasses
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mai_depth.data.batches import drawn
from mai_depth.network.macs import count_macs
from mai_depth.stopping import Request
from mai_depth.training.attempt import Attempt
from mai_depth.training.attempt import epoch_batches
from mai_depth.training.callbacks import AverageWeights
from mai_depth.training.loop import Loop
from mai_depth.training.run import Run

_SGEMM_SIDE = 1024
_SGEMM_RUNS = 20


@dataclasses.dataclass(frozen=True)
class Part:
    """The mean time of one part, once a step or once an epoch.

    Attributes:
        name: What is done.
        wall_ms: By the clock.
        cpu_ms: Of all processors; on a machine that others use as well, this is the figure.
        each: `step` or `epoch`.
    """

    name: str
    wall_ms: float
    cpu_ms: float
    each: str = "step"


@dataclasses.dataclass(frozen=True)
class Profile:
    """A training, taken apart.

    Attributes:
        parts: `whole step` is measured as a run does it, the others one by one.
        steps: In an epoch.
        batch_size: Pictures in a step.
        forward_gmacs: 1e9 multiply-accumulates of the student's forward pass for a batch.
        sgemm_gmacs_per_cpu_s: 1e9 of them that a large matrix product does in a second of one
            processor.
    """

    parts: list[Part]
    steps: int
    batch_size: int
    forward_gmacs: float
    sgemm_gmacs_per_cpu_s: float

    def cpu_ms(self, name: str) -> float:
        """Of the part of that name."""
        return next(part.cpu_ms for part in self.parts if part.name == name)

    @property
    def peak_percent(self) -> float:
        """How much of the matrix product's speed forward and backward pass (three times the
        multiplications of the forward pass) reach in a whole step."""
        ideal_ms = 3e3 * self.forward_gmacs / self.sgemm_gmacs_per_cpu_s
        return 100 * ideal_ms / self.cpu_ms("whole step")


def profile_training(run: Run, count: int) -> Profile:
    """Takes a training apart; it writes only its state and its model into the run's folder.

    Args:
        run: What would be trained.
        count: How many steps are timed, after two that are not.
    """
    attempt = Attempt(run, None, halvings=0)
    loop = Loop(attempt.distiller, attempt.workers, Request())
    parts = _input_parts(attempt, count)
    batches = iter(epoch_batches(attempt.average, run, 0).repeat())
    parts += _arithmetic_parts(attempt, next(batches), count)
    parts.append(_timed("whole step", lambda: loop._take_step(next(batches)), count))
    parts += [dataclasses.replace(part, each="epoch") for part in _epoch_parts(attempt)]
    view = attempt.distiller.student
    return Profile(parts, run.steps, run.recipe.batch_size,
                   1e-9 * run.recipe.batch_size * count_macs(view), _sgemm_gmacs_per_cpu_s())


def _input_parts(attempt: Attempt, count: int) -> list[Part]:
    run = attempt.run
    size = run.recipe.batch_size
    order = drawn(run.train_pairs, run.recipe.seed, 0).numpy()
    starts = iter(range(0, (count + 2) * size, size))

    def read() -> None:
        start = next(starts) % (len(order) - size + 1)
        for array in (run.train_pairs.rgb, run.train_pairs.depth):
            np.ascontiguousarray(array[order[start : start + size]])

    reading = _timed("reading", read, count)
    # To its end: some batches are always made ahead.
    dataset = epoch_batches(attempt.average, run, 0).repeat().take(count)
    both = _timed("augmentation", lambda: list(dataset), 1)
    both = Part(both.name, both.wall_ms / count, both.cpu_ms / count)
    return [reading, _difference(both, reading)]


def _arithmetic_parts(attempt: Attempt, batch: dict[str, Any], count: int) -> list[Part]:
    distiller = attempt.distiller
    variables = distiller.trainable_variables

    def loss() -> Any:
        target = distiller._target(batch)
        student = distiller.student(batch["image"], training=True)
        losses = distiller._terms(student, batch["depth"], target, batch.get("labels"))
        distiller._add_finer(losses, student, batch, target)
        return losses["total_loss"]

    def gradients() -> list[Any]:
        with tf.GradientTape() as tape:
            value = loss()
        return [tf.convert_to_tensor(one) for one in tape.gradient(value, variables)]

    forward, both = tf.function(loss), tf.function(gradients)
    found = both()
    apply = tf.function(lambda: distiller.optimizer.apply(found, variables))
    average = AverageWeights(attempt.trained, attempt.average, attempt.run.recipe.ema_momentum)
    parts = [_timed("forward", lambda: forward().numpy(), count),
             _timed("backward", lambda: both()[0].numpy(), count)]
    return [parts[0], _difference(parts[1], parts[0]), _timed("optimizer", apply, count),
            _timed("average", lambda: average.on_train_batch_end(0), count)]


def _epoch_parts(attempt: Attempt) -> list[Part]:
    def write() -> None:
        arrays = [variable.value.numpy() for variable in attempt.variables]
        attempt._keep(1, arrays, {}, {})

    return [_timed("evaluation", attempt._measure, 1), _timed("state and model", write, 1)]


def _timed(name: str, act: Callable[[], Any], count: int) -> Part:
    for _ in range(min(2, count)):  # traced, and its memory found
        act()
    wall, cpu = time.perf_counter(), _cpu_s()
    for _ in range(count):
        act()
    wall, cpu = time.perf_counter() - wall, _cpu_s() - cpu
    return Part(name, 1e3 * wall / count, 1e3 * cpu / count)


def _difference(both: Part, one: Part) -> Part:
    return Part(both.name, max(0.0, both.wall_ms - one.wall_ms),
                max(0.0, both.cpu_ms - one.cpu_ms))


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _sgemm_gmacs_per_cpu_s() -> float:
    side = tf.random.stateless_uniform([_SGEMM_SIDE, _SGEMM_SIDE], [0, 0])
    part = _timed("sgemm", lambda: tf.matmul(side, side).numpy(), _SGEMM_RUNS)
    return 1e-9 * _SGEMM_SIDE**3 / (part.cpu_ms / 1e3)
