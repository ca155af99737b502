"""The training of a student or a teacher: batches in, the averaged model out.

Each complete epoch is saved (see `checkpoint`), so the same run, started again, continues.
"""

import hashlib

import keras

from mai_depth.data.batches import drawn
from mai_depth.errors import UserError
from mai_depth.training.attempt import Attempt
from mai_depth.training.callbacks import NonFinite
from mai_depth.training.run import Run
from mai_depth.training.run import finished_metrics
from mai_depth.training.run import load_state
from mai_depth.training.workers import workers_or_one

MAX_HALVINGS = 3


def fit_depth_model(run: Run) -> dict[str, float]:
    """Trains a depth model and saves it; continues an interrupted run.

    Two copies of the model exist: the one that is trained, and the average of its weights (or its
    plain copy when `ema_momentum` is 0), which is validated on full-resolution pictures after each
    epoch and saved. The last epoch's stays: choosing one by its validation would choose luck too.

    Args:
        run: What to train, on what, how and where; no other process may write to its folder (see
            `workdir.locked`).

    Returns:
        The metrics of the saved model on the validation pictures.

    Raises:
        UserError: A loss is not finite, the folder holds another run, or the disk or the memory is
            full.
        Stopped: After SIGTERM or Ctrl-C.
    """
    metrics = workers_or_one(run.options.workers).chief_says(lambda: finished_metrics(run))
    if metrics is not None:
        print(f"{run.path}: already trained with these flags and data; --overwrite trains again")
        return metrics
    before = _digest(run.teacher)
    metrics = _with_rollbacks(run)
    if _digest(run.teacher) != before:
        raise RuntimeError("the training has changed its teacher")
    return metrics


def _with_rollbacks(run: Run) -> dict[str, float]:
    """Trains to the end; rolls back if a number is not finite and the run allows it."""
    workers = workers_or_one(run.options.workers)
    state = load_state(run) if workers.is_chief and not run.options.overwrite else None
    halvings = workers.chief_says(lambda: state.halvings if state else 0)
    while True:
        try:
            return Attempt(run, state, halvings).fit()
        except NonFinite as error:
            fault = f"{_where(run, error)}; nothing of it was saved"
            if run.options.nan_policy == "fail":
                raise UserError(f"{fault}; lower --learning_rate, or run the same command with "
                                "--nan_policy=rollback") from error
            if halvings == MAX_HALVINGS:
                raise UserError(f"{fault}; the learning rate was already halved {halvings} times, "
                                "lower --learning_rate") from error
        halvings += 1
        state = load_state(run) if workers.is_chief else None
        print(f"{fault}; back to epoch {state.epoch if state else 0} with the learning rate "
              f"halved ({halvings} of {MAX_HALVINGS} times)")


def _where(run: Run, error: NonFinite) -> str:
    """Describes what was not finite, where, and with which pictures."""
    if error.step is None:
        return f"{error} is not finite after epoch {error.epoch + 1}"
    size = run.recipe.batch_size
    order = drawn(run.train_pairs, run.recipe.seed, error.epoch).numpy()
    names = [run.train_pairs.names[index] for index in order[error.step * size :][:size]]
    shown = ", ".join(names[:8]) + ", ..." * (size > 8)
    return (f"{error} is not finite in epoch {error.epoch + 1}, step {error.step + 1}, pictures "
            f"{shown}")


def _digest(model: keras.Model | None) -> str:
    """sha256 of all weights of a model."""
    digest = hashlib.sha256()
    for weight in model.weights if model else ():
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()
