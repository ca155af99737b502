"""Knowledge distillation: the custom training step that adds the teacher to the depth loss."""

import functools
from typing import Any

import keras
import tensorflow as tf

from mai_depth.data.mixture import Labels
from mai_depth.training.losses import DistillationLoss
from mai_depth.training.losses import GradientLoss
from mai_depth.training.losses import SiLog
from mai_depth.training.losses import depth_to_logits
from mai_depth.training.relative_losses import scale_shift_invariant_loss
from mai_depth.training.relative_losses import trimmed_silog
from mai_depth.training.replicas import count_replicas
from mai_depth.training.replicas import sum_over_replicas


def training_view(model: keras.Model) -> keras.Model:
    """Cuts a depth model at its `view` layer, where the training pictures enter.

    The layers are shared with `model`: training the view trains the model.

    Args:
        model: A model with the layers `view`, `depth_logits` and `depth_low`.

    Returns:
        A model from [batch, *view, 3] to `logits` and `depth` [batch, h, w, 1] (before and after
        the activation, in metres) and `features` [batch, h, w, c], the input of `depth_logits`.
    """
    return keras.Model(model.get_layer("view").output, view_outputs(model))


def view_outputs(model: keras.Model) -> dict[str, Any]:
    """The outputs of `training_view` as tensors of the model itself."""
    head = model.get_layer("depth_logits")
    return {
        "logits": head.output,
        "features": head.input,
        "depth": model.get_layer("depth_low").output,
    }


class Distiller(keras.Model):
    """Trains a student on depth and, with a teacher, on the teacher's answer (paper, section 2.2).

    `total_loss = student_loss + distillation_loss_weight * distillation_loss`, where the student's
    loss is silog (Lee et al., 2019) and the distillation loss is the L2 distance between the maps
    before the last activation. The target of the latter is the teacher's depth through the inverse
    of the student's head, so a teacher of any resolution and any maximum depth will do. With
    `distill="depth"` it is silog as well, with the teacher's depth as the truth.

    Batches are dictionaries: `image` [batch, *view, 3], `depth` [batch, h, w, 1] in metres with
    0 = missing, and either `teacher_image`, the same pictures at the size of the teacher's view, or
    `teacher_depth` [batch, h', w', 1], if the teacher was asked beforehand. `labels` [batch] holds
    `mixture.Labels`: where the metres are a guess, only the shape of the depth counts
    (`relative_losses.trimmed_silog`); inverse depth has `scale_shift_invariant_loss`.

    Args:
        student: A depth model, see `training_view`.
        teacher: Another one; None uses the `teacher_depth` of the batches that have it.
        max_depth_m: The depth at which the student's head saturates; the loss ignores deeper
            pixels.
        distillation_loss_weight: 0 trains without the teacher.
        distill: `logits`; `depth` for silog of the metres; or `features` for the penultimate map
            through a 1x1 projection, which needs `teacher`.
        gradient_loss_weight: Weight of the differences of log depth between neighbours.
        view: The network to train, if it is more than `training_view(student)`: the maps in its
            output `finer` get the same losses, and their mean is added.
        map_size: Height and width at which a map is compared with the teacher's; None for the
            student's own. A coarse map is enlarged to it, as in the deployed graph.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None = None,
        *,
        view: keras.Model | None = None,
        map_size: tuple[int, int] | None = None,
        max_depth_m: float,
        distillation_loss_weight: float = 0.0,
        distill: str = "logits",
        gradient_loss_weight: float = 0.0,
    ):
        super().__init__(name="distiller")
        self.student = view or training_view(student)
        self.map_size = map_size or tuple(self.student.output["logits"].shape[1:3])
        self.teacher = training_view(teacher) if teacher is not None else None
        self.projection = None
        if self.teacher is not None:
            self.teacher.trainable = False
            if distill == "features":
                channels = self.teacher.output["features"].shape[-1]
                self.projection = keras.layers.Conv2D(channels, 1, name="projection")
                self.projection.build(self.student.output["features"].shape)
        self.max_depth_m = max_depth_m
        self.distill = distill
        self.distillation_loss_weight = distillation_loss_weight
        self.gradient_loss_weight = gradient_loss_weight
        self.student_loss = SiLog(max_depth_m=max_depth_m)
        self.other_losses = {
            Labels.SHAPE: functools.partial(trimmed_silog, max_depth_m=max_depth_m),
            Labels.RELATIVE: scale_shift_invariant_loss,
        }
        self.gradient_loss = GradientLoss(max_depth_m=max_depth_m)
        self.distillation_loss = (
            SiLog(max_depth_m=max_depth_m) if distill == "depth" else DistillationLoss())
        self.means = {
            name: keras.metrics.Mean(name=name)
            for name in ("total_loss", "student_loss", "distillation_loss",
                         *(("finer_loss",) if self._finer(self.student.output) else ()))
        }
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means that Keras resets at each epoch."""
        return list(self.means.values())

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """The student's `logits`, `features` and `depth` for [batch, *view, 3]."""
        return self.student(image, training=training)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One optimisation step; the teacher stays outside the tape and is never updated."""
        target = self._target(batch)
        with tf.GradientTape() as tape:
            student = self.student(batch["image"], training=True)
            losses = self._terms(student, batch["depth"], target, batch.get("labels"))
            self._add_finer(losses, student, batch, target)
            loss = self.optimizer.scale_loss(losses["total_loss"])
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        # Each device holds its share of the loss, which is their sum.
        values = tf.unstack(sum_over_replicas(tf.stack(list(losses.values()))))
        for name, value in zip(losses, values, strict=True):
            self.means[name].update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}

    def _target(self, batch: dict[str, Any]) -> Any:
        """The target of distillation, on the student's grid; None without distillation."""
        if not self.distillation_loss_weight:
            return None
        if "teacher_depth" in batch:
            return self._target_of(batch["teacher_depth"])
        answer = self.teacher(batch["teacher_image"], training=False)
        if self.projection is not None:
            return self._resized(answer["features"], self.student.output["features"].shape[1:3])
        return self._target_of(answer["depth"])

    def _target_of(self, depth: Any) -> Any:
        depth = self._resized(depth, self.map_size)
        return depth if self.distill == "depth" else depth_to_logits(depth, self.max_depth_m)

    def _resized(self, values: Any, size: tuple[int, int]) -> Any:
        return keras.ops.image.resize(values, size, interpolation="bilinear")

    @staticmethod
    def _finer(output: dict[str, Any]) -> list[dict[str, Any]]:
        return output.get("finer", [])

    def _add_finer(
        self, losses: dict[str, Any], student: dict[str, Any], batch: dict[str, Any], target: Any
    ) -> None:
        """Adds the mean loss of the finer maps, if there are any, to the terms of a step."""
        finer = self._finer(student)
        if not finer:
            return
        target = None if self.projection is not None else target  # it is for the coarse features
        losses["finer_loss"] = sum(
            self._terms(one, batch["depth"], target, batch.get("labels"))["total_loss"]
            for one in finer) / len(finer)
        losses["total_loss"] += losses["finer_loss"]

    def _terms(
        self, student: dict[str, Any], depth: Any, target: Any, labels: Any = None
    ) -> dict[str, Any]:
        size = keras.ops.shape(depth)[1:3]
        predicted = keras.ops.image.resize(
            keras.ops.cast(student["depth"], "float32"), size, interpolation="bilinear")
        student_loss = self._depth_loss(depth, predicted, labels)
        if self.gradient_loss_weight:
            has_depth = None if labels is None else keras.ops.cast(
                keras.ops.not_equal(labels, int(Labels.RELATIVE)), "float32")
            student_loss += self.gradient_loss_weight * self.gradient_loss(
                depth, predicted, sample_weight=has_depth)
        distillation_loss = keras.ops.zeros(())
        if target is not None:
            answer = keras.ops.cast(self._answer(student), "float32")
            distillation_loss = self.distillation_loss(target, answer)
        total = student_loss + self.distillation_loss_weight * distillation_loss
        return {
            "total_loss": total,
            "student_loss": student_loss,
            "distillation_loss": distillation_loss,
        }

    def _answer(self, student: dict[str, Any]) -> Any:
        """The student's map that is compared with the target."""
        if self.projection is not None:
            return self.projection(student["features"])
        answer = student["depth" if self.distill == "depth" else "logits"]
        same = tuple(answer.shape[1:3]) == self.map_size
        return answer if same else self._resized(answer, self.map_size)

    def _depth_loss(self, depth: Any, predicted: Any, labels: Any) -> Any:
        if labels is None:
            return self.student_loss(depth, predicted)
        is_metric = keras.ops.equal(labels, int(Labels.METRIC))
        loss = self.student_loss(
            depth, predicted, sample_weight=keras.ops.cast(is_metric, "float32"))
        count = keras.ops.cast(keras.ops.shape(labels)[0], "float32")
        for kind, loss_of_others in self.other_losses.items():
            # Only for those pictures: sorting costs as much as the whole step.
            chosen = keras.ops.equal(labels, int(kind))
            losses = loss_of_others(
                tf.boolean_mask(depth, chosen), tf.boolean_mask(predicted, chosen))
            loss += keras.ops.sum(losses) / (count * count_replicas())
        return loss
