"""The fine-tuning of a student in integers: the distillation of `training`, and its best epoch."""

import keras
import numpy as np

from mai_depth.data.batches import faults_of_reading
from mai_depth.errors import UserError
from mai_depth.stopping import Stopped
from mai_depth.stopping import stops_between_steps
from mai_depth.training.attempt import adam
from mai_depth.training.attempt import epoch_batches
from mai_depth.training.callbacks import KeepEpoch
from mai_depth.training.callbacks import NonFinite
from mai_depth.training.callbacks import WatchSteps
from mai_depth.training.distiller import Distiller
from mai_depth.training.evaluation import evaluate
from mai_depth.training.run import Run


def fine_tune(model: keras.Model, run: Run) -> list[dict[str, float]]:
    """Trains a student in integers and leaves the weights of its best epoch in it.

    Args:
        model: A student whose `depth_logits` is an `aware.IntegerCore`.
        run: Data and recipe; nothing is written.

    Returns:
        The metrics on the validation pictures before the first epoch and after each.

    Raises:
        UserError: The data cannot fill a batch, a cache is damaged, or the loss is not finite.
        Stopped: After SIGTERM or Ctrl-C.
    """
    keras.utils.set_random_seed(run.recipe.seed)
    distiller = Distiller(
        model, max_depth_m=run.max_depth_m, gradient_loss_weight=run.recipe.gradient_loss_weight,
        distillation_loss_weight=run.recipe.distillation_loss_weight, map_size=run.map_size)
    distiller.compile(optimizer=adam(run.recipe, run.steps, 1.0))
    rows, weights = [evaluate(model, run.validation_pairs)], [model.get_weights()]

    def keep(epoch: int, arrays: list, losses: dict, metrics: dict) -> None:
        rows.append(metrics)
        weights.append(model.get_weights())
        print(f"qat epoch {epoch}: si_rmse {metrics['si_rmse']:.4f}", flush=True)

    with stops_between_steps() as request, faults_of_reading():
        try:
            distiller.fit(
                epoch_batches(model, run, 0), epochs=run.recipe.epochs, steps_per_epoch=run.steps,
                shuffle=False,  # the batches come in the order of `epoch_order`
                callbacks=[WatchSteps(request), KeepEpoch(
                    [], lambda: evaluate(model, run.validation_pairs), keep)])
            if request.signum is not None:  # it came after the last step
                raise Stopped(request.signum)
        except NonFinite as fault:
            raise UserError(f"{fault} is not finite in epoch {fault.epoch + 1}; lower "
                            "--learning_rate") from fault
    model.set_weights(weights[int(np.argmin([row["si_rmse"] for row in rows]))])
    return rows
