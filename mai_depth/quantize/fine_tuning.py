"""The fine-tuning of a quantized student: a plain loop, since Keras 3 cannot train tf_keras."""

import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from mai_depth.data.batches import faults_of_reading
from mai_depth.data.batches import training_batches
from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.training.evaluation import evaluate
from mai_depth.training.losses import DistillationLoss
from mai_depth.training.losses import GradientLoss
from mai_depth.training.losses import SiLog
from mai_depth.training.losses import depth_to_logits
from mai_depth.training.run import Recipe


def fine_tune(
    model: Any,
    train: Pairs,
    validation: Pairs,
    recipe: Recipe,
    *,
    teacher_depth: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Trains a quantized student and leaves the weights of its best epoch in it.

    Args:
        model: Of `quantize`.
        train: What is learned.
        validation: What is measured before the first epoch and after each.
        recipe: How to train.
        teacher_depth: The teacher's answers to `train`, of `cache_teacher_depth`.

    Returns:
        The metrics on `validation` before the first epoch and after each.

    Raises:
        UserError: The data cannot fill a batch, a cache is damaged, or the loss is not finite.
    """
    batches = iter(quantization_batches(model, train, recipe, teacher_depth))
    steps = len(train) // recipe.batch_size
    step = _training_step(model, recipe, steps)
    rows, weights = [evaluate(model, validation)], [model.get_weights()]
    for epoch in range(recipe.epochs):
        bar = tqdm(itertools.islice(batches, steps), total=steps, desc=f"qat epoch {epoch + 1}")
        with faults_of_reading():
            for batch in bar:
                loss = float(step(batch))
                if not np.isfinite(loss):
                    raise UserError(
                        f"the loss is {loss} in epoch {epoch + 1}; lower --learning_rate")
                bar.set_postfix(loss=f"{loss:.3f}")
        rows.append(evaluate(model, validation))
        weights.append(model.get_weights())
        print(f"qat epoch {epoch + 1}: si_rmse {rows[-1]['si_rmse']:.4f}")
    model.set_weights(weights[int(np.argmin([row["si_rmse"] for row in rows]))])
    return rows


def quantization_batches(
    model: Any, pairs: Pairs, recipe: Recipe, teacher_depth: np.ndarray | None = None
) -> tf.data.Dataset:
    """The batches of a student's training, as `batches.training_batches` gives them.

    Args:
        model: A student of tf_keras, in any form.
        pairs: What is learned.
        recipe: How.
        teacher_depth: As in `fine_tune`.

    Returns:
        Batches of all epochs.
    """
    logits = model.get_layer("depth_logits").output
    return training_batches(
        pairs,
        view_size=model.get_layer("view").output.shape[1:3],
        # The loss is taken at twice the map's size: the picture that the student's encoder sees.
        depth_size=tuple(2 * side for side in logits.shape[1:3]),
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        first_epoch=0,
        epochs=recipe.epochs,
        augmentation=recipe.augmentation,
        teacher_depth=teacher_depth,
    )


def _training_step(model: Any, recipe: Recipe, steps: int) -> Any:
    """A function that takes a batch, improves the model and returns the loss."""
    import tf_keras

    view = tf_keras.Model(
        model.get_layer("view").output,
        [model.get_layer(name).output for name in ("depth_logits", "depth_low")])
    schedule = tf_keras.optimizers.schedules.PolynomialDecay(
        recipe.learning_rate, max(1, recipe.epochs * steps), 0.0, recipe.decay_power)
    optimizer = tf_keras.optimizers.Adam(schedule, epsilon=recipe.adam_epsilon)
    variables = view.trainable_variables
    loss_of = _loss(recipe, float(model.get_layer("depth_low").scale))

    @tf.function
    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits, depth = view(batch["image"], training=True)
            loss = loss_of(batch, logits, depth)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step


def _loss(recipe: Recipe, max_depth_m: float) -> Any:
    """The loss of `distiller.Distiller` with the teacher's depth in the batch."""
    silog, gradient = SiLog(max_depth_m=max_depth_m), GradientLoss(max_depth_m=max_depth_m)
    distillation = DistillationLoss()
    resize = keras.ops.image.resize

    def loss_of(batch: dict[str, Any], logits: Any, depth: Any) -> Any:
        predicted = resize(depth, batch["depth"].shape[1:3], interpolation="bilinear")
        loss = silog(batch["depth"], predicted)
        if recipe.gradient_loss_weight:
            loss += recipe.gradient_loss_weight * gradient(batch["depth"], predicted)
        if "teacher_depth" in batch:
            target = resize(batch["teacher_depth"], logits.shape[1:3], interpolation="bilinear")
            target = depth_to_logits(target, max_depth_m)
            loss += recipe.distillation_loss_weight * distillation(target, logits)
        return loss

    return loss_of
