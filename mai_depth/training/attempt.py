"""One attempt at a run: its models, its optimizer, its epochs, and what each of them saves."""

import csv
import dataclasses
import io
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from mai_depth.atomic import write_json_atomic
from mai_depth.atomic import write_text_atomic
from mai_depth.data.batches import faults_of_reading
from mai_depth.data.batches import training_batches
from mai_depth.errors import UserError
from mai_depth.network.model_file import load_model
from mai_depth.network.model_file import save_model
from mai_depth.stopping import Request
from mai_depth.stopping import Stopped
from mai_depth.stopping import stops_between_steps
from mai_depth.training import checkpoint
from mai_depth.training.batch_norm import prepare_batch_norm
from mai_depth.training.callbacks import AverageWeights
from mai_depth.training.callbacks import KeepEpoch
from mai_depth.training.callbacks import WatchSteps
from mai_depth.training.callbacks import tensorboard
from mai_depth.training.depth_scale import TOLERANCE
from mai_depth.training.depth_scale import centre_scale
from mai_depth.training.distiller import Distiller
from mai_depth.training.distiller import training_view
from mai_depth.training.evaluation import evaluate
from mai_depth.training.loop import Loop
from mai_depth.training.run import Recipe
from mai_depth.training.run import Run
from mai_depth.training.workers import workers_or_one
from mai_depth.workdir import remove_leftovers
from mai_depth.workdir import require_space


class Attempt:
    """The models and the optimizer of a run, new or restored from a state.

    Args:
        run: What to train.
        state: The state to continue from, or None to start.
        halvings: How often to halve the learning rate.
    """

    def __init__(self, run: Run, state: checkpoint.State | None, halvings: int):
        keras.utils.set_random_seed(run.recipe.seed)
        self.run = run
        self.workers = workers_or_one(run.options.workers)
        self.workers.check_batch(run.recipe.batch_size)
        self.average = run.build()
        with self.workers.scope():
            self.trained = _trained_copy(self.average, run.build, run.recipe)
            self.distiller = distiller_of(run, self.trained)
            prepare_batch_norm(self.distiller.student, self.workers.synchronized)
            optimizer = adam(run.recipe, run.steps, 0.5**halvings)
            self.distiller.compile(optimizer=optimizer)
            optimizer.build(self.distiller.trainable_variables)
        own = {id(variable) for variable in self.trained.variables}
        beside = [v for v in self.distiller.student.variables if id(v) not in own]
        projection = self.distiller.projection
        self.variables = [
            *self.trained.variables,
            *self.average.variables,
            *beside,
            *(projection.variables if projection else ()),
            *optimizer.variables,
        ]
        self.state = checkpoint.State(0, run.identity, [], [], {}, halvings)
        if state is not None:
            self._restore(state)
        self._start_as_chief()

    def _restore(self, state: checkpoint.State) -> None:
        if [tuple(v.shape) for v in self.variables] != [array.shape for array in state.arrays]:
            raise UserError(f"{self.run.path.parent}: its state was written by another version of "
                            "this program; continue with that version, or give --overwrite")
        for variable, array in zip(self.variables, state.arrays, strict=True):
            variable.assign(array)
        self.state = dataclasses.replace(state, arrays=[], halvings=self.state.halvings)
        print(f"{self.run.path}: continuing after epoch {state.epoch} of {self.run.recipe.epochs}")
        self._write_results()

    def _start_as_chief(self) -> None:
        """Gives all processes the chief's weights and epoch: only the chief reads states."""
        if self.workers.processes == 1:
            return
        epoch, rows, metrics = self.workers.chief_says(
            lambda: [self.state.epoch, self.state.rows, self.state.metrics])
        self.state = dataclasses.replace(self.state, epoch=epoch, rows=rows, metrics=metrics)
        data = self.workers.chief_sends(
            lambda: b"".join(variable.value.numpy().tobytes() for variable in self.variables))
        start = 0
        for variable in self.variables:
            dtype, count = np.dtype(variable.dtype), int(np.prod(variable.shape))
            array = np.frombuffer(data, dtype, count, start)
            variable.assign(array.reshape(variable.shape))
            start += array.nbytes

    def fit(self) -> dict[str, float]:
        """Trains the remaining epochs.

        Returns:
            The metrics of the last epoch's model, the one in the run's file.

        Raises:
            NonFinite: A number is not finite; nothing of this epoch has been saved.
            UserError: The disk or the memory is full, or a cache is damaged.
            Stopped: After SIGTERM or Ctrl-C; says how to continue.
        """
        if self.workers.is_chief:
            self._prepare_folder()
        with stops_between_steps() as request, faults_of_reading():
            try:
                if self.state.epoch < self.run.recipe.epochs:
                    self._fit_epochs(request)
                metrics = self.workers.chief_says(self._finish)
                if request.signum is not None:
                    raise Stopped(request.signum)
            except Stopped as stop:
                raise self._stopped(stop) from None
            except tf.errors.ResourceExhaustedError as error:
                raise UserError(
                    f"out of memory with --batch_size={self.run.recipe.batch_size}; lower it, "
                    "the last complete epoch is kept") from error
        return metrics

    def _fit_epochs(self, request: Request) -> None:
        run, first = self.run, self.state.epoch
        average = AverageWeights(
            self.trained, self.average, run.recipe.ema_momentum, steps=first * run.steps)
        keep = KeepEpoch(self.variables, self._measure, self._keep)
        loop = Loop(self.distiller, self.workers, request)
        callbacks = [average, WatchSteps(loop.agreed), keep]
        if self.workers.is_chief:
            callbacks += tensorboard(run.path.parent)
        loop.fit(
            lambda context: epoch_batches(self.average, run, first, context),
            range(first, run.recipe.epochs), run.steps, callbacks)

    def _prepare_folder(self) -> None:
        """Checks the folder and clears it; removes an old run last, after all that can fail."""
        run = self.run
        remove_leftovers(*map(run.path.with_name, (
            run.path.name, f"{run.path.stem}.json", f"{run.path.stem}-*.state", "log.csv",
            "flags.txt", "sheet.png")))
        model_bytes, size = (checkpoint.state_bytes(variables) for variables in (
            self.average.variables, self.variables))
        there = sum(path.stat().st_size for path in checkpoint.state_paths(run.path))
        require_space(
            run.path.parent, (checkpoint.KEPT + 1) * size + 2 * model_bytes - there,
            "the run's model and states", "workdir")
        if run.options.flags is not None:
            write_text_atomic(run.path.with_name("flags.txt"), run.options.flags)
        if run.options.overwrite and not self.state.epoch:
            checkpoint.remove_states(run.path)
            run.path.with_name("sheet.png").unlink(missing_ok=True)  # it shows another network

    def _measure(self) -> dict[str, float]:
        return self.workers.chief_says(
            lambda: evaluate(self.average, self.run.validation_pairs))

    def _keep(
        self,
        epoch: int,
        arrays: list[np.ndarray],
        losses: dict[str, float],
        metrics: dict[str, float],
    ) -> None:
        """Saves an epoch: its state first, since the other files can be rebuilt from it."""
        row = {"epoch": epoch, **losses}
        row |= {f"val_{name}": value for name, value in metrics.items() if name != "images"}
        self.state = dataclasses.replace(
            self.state, epoch=epoch, rows=[*self.state.rows, row], metrics=metrics)
        if not self.workers.is_chief:
            return
        size = checkpoint.state_bytes(arrays)
        try:
            checkpoint.save_state(
                self.run.path, dataclasses.replace(self.state, arrays=arrays))
            self._write_results()
        except OSError as error:
            raise UserError(
                f"{self.run.path.parent}: epoch {epoch} could not be saved "
                f"({error.strerror or error}), earlier ones are; a state needs {size / 1e6:.1f} "
                "MB: free some space and run the same command again") from error

    def _write_results(self) -> None:
        """Writes what the state determines: the model, its JSON, the log."""
        path = self.run.path
        save_model(self.average, path)
        self._write_record(finished=False)
        table = io.StringIO()
        writer = csv.DictWriter(table, self.state.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.state.rows)
        write_text_atomic(path.with_name("log.csv"), table.getvalue())

    def _write_record(self, finished: bool) -> None:
        state = self.state
        record = {**self.run.record, "sources": self.run.sources,
                  "epoch": state.epoch, "metrics": state.metrics,
                  "halvings": state.halvings, "finished": finished}
        if self.run.focal_length is not None:
            record["focal_length"] = self.run.focal_length
        write_json_atomic(self.run.path.with_suffix(".json"), record)

    def _finish(self) -> dict[str, float]:
        """Marks the run as finished, and only then removes its states."""
        if not self.run.path.is_file():
            raise UserError(f"{self.run.path}: was removed during the run; run the same command "
                            "with --overwrite")
        self._centre_scale()
        self._write_record(finished=True)
        checkpoint.remove_states(self.run.path)
        return self.state.metrics

    def _centre_scale(self) -> None:
        """Corrects the scale of the saved model; a second call changes nothing."""
        run = self.run
        model = load_model(run.path, trusted_packages=("keras_cv", "keras_hub"))
        if abs(centre_scale(model, run.train_pairs.home, run.max_depth_m)) > TOLERANCE:
            save_model(model, run.path)
        metrics = evaluate(model, run.validation_pairs)
        self.state = dataclasses.replace(self.state, metrics=metrics)

    def _stopped(self, stop: Stopped) -> Stopped:
        begun = self.run.options.overwrite and self.state.epoch
        again = " without --overwrite" if begun else ""
        return Stopped(
            stop.signum,
            f"stopped; {self.state.epoch} of {self.run.recipe.epochs} epochs are kept in "
            f"{self.run.path.parent}; the same command{again} continues")


def distiller_of(run: Run, trained: keras.Model) -> Distiller:
    """The training step of a run, with its teacher if that is asked at every step."""
    recipe = run.recipe
    view = _with_policy(lambda: run.extend(trained), recipe) if run.extend else None
    return Distiller(
        trained,
        run.teacher,
        view=view,
        map_size=run.map_size,
        max_depth_m=run.max_depth_m,
        distillation_loss_weight=recipe.distillation_loss_weight,
        distill=recipe.distill,
        gradient_loss_weight=recipe.gradient_loss_weight,
    )


def _trained_copy(average: keras.Model, build: Callable, recipe: Recipe) -> keras.Model:
    """Builds the same model with the same weights; the average is saved, so it stays float32."""
    trained = _with_policy(build, recipe)
    trained.set_weights(average.get_weights())
    return trained


def _with_policy(build: Callable[[], keras.Model], recipe: Recipe) -> keras.Model:
    """Builds a model in the precision that a recipe trains in."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_precision else "float32")
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(policy)


def adam(
    recipe: Recipe, steps_per_epoch: int, factor: float
) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe, its learning rate multiplied by `factor`."""
    schedule = keras.optimizers.schedules.PolynomialDecay(
        factor * recipe.learning_rate,
        max(1, recipe.epochs * steps_per_epoch),
        end_learning_rate=0.0,
        power=recipe.decay_power,
    )
    optimizer = keras.optimizers.Adam(
        schedule, beta_1=0.9, beta_2=0.999, epsilon=recipe.adam_epsilon)
    if recipe.mixed_precision:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def epoch_batches(
    model: keras.Model, run: Run, first_epoch: int,
    context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
    """The batches of a run's epochs from `first_epoch` on, for a model or a copy of it.

    Args:
        model: The model.
        run: The run.
        first_epoch: Counted from 0.
        context: The input pipeline whose share of each batch is wanted; None for whole batches.
    """
    context = context or tf.distribute.InputContext()
    replicas = context.num_replicas_in_sync
    here = replicas // context.num_input_pipelines
    first = context.input_pipeline_id * here
    view = training_view(model)
    # The loss is computed at the size of the picture that the student's encoder sees.
    depth_size = run.depth_size or tuple(2 * side for side in view.output["logits"].shape[1:3])
    return training_batches(
        run.train_pairs,
        view_size=view.input.shape[1:3],
        depth_size=depth_size,
        batch_size=run.recipe.batch_size,
        seed=run.recipe.seed,
        first_epoch=first_epoch,
        epochs=run.recipe.epochs,
        augmentation=run.recipe.augmentation,
        teacher_view_size=(
            training_view(run.teacher).input.shape[1:3] if run.teacher is not None else None),
        teacher_views=run.teacher_views,
        replicas=range(first, first + here),
        all_replicas=replicas,
    )
