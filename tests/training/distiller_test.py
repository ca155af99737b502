"""The training step: what moves, what must not, and what the student is asked to match."""

import keras
import numpy as np
import pytest

from mai_depth.data.mixture import Labels
from mai_depth.network.student import build_student
from mai_depth.training.distiller import Distiller
from mai_depth.training.distiller import training_view
from mai_depth.training.losses import silog
from mai_depth.training.relative_losses import scale_shift_invariant_loss
from mai_depth.training.relative_losses import trimmed_silog

SIZE = (128, 160)  # of the view, and of the depth that the loss looks at


def tiny_student(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return build_student(
        "student_28m", alpha=0.35, decoder_filters=(8, 8, 8, 8), max_depth_m=10.0, **settings)


def batch(holes=0.1, count=2, seed=0, teacher_size=SIZE):
    random = np.random.default_rng(seed)
    depth = random.uniform(0.5, 9, (count, *SIZE, 1)).astype(np.float32)
    depth[random.uniform(size=depth.shape) < holes] = 0
    image = random.uniform(0, 255, (count, *SIZE, 3)).astype(np.float32)
    teacher_image = keras.ops.image.resize(image, teacher_size, interpolation="bilinear")
    return {"image": image, "depth": depth, "teacher_image": teacher_image}


def distiller(student=None, teacher=None, **settings):
    model = Distiller(student or tiny_student(), teacher, max_depth_m=10.0, **settings)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def test_teacher_is_bit_identical_after_training():
    teacher = tiny_student(seed=1)
    before = [value.copy() for value in teacher.get_weights()]
    model = distiller(teacher=teacher, distillation_loss_weight=1.0)
    for step in range(3):
        model.train_step(batch(seed=step))
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_batch_norm_moves_once_a_step():
    student = tiny_student()
    stem, layer = student.get_layer("conv"), student.get_layer("conv_bn")
    data = batch()
    mean = np.mean(stem(data["image"] / 127.5 - 1), axis=(0, 1, 2))
    before = layer.moving_mean.numpy()
    model = distiller(student, tiny_student(seed=1), distillation_loss_weight=1.0)
    model.train_step(data)
    np.testing.assert_allclose(
        layer.moving_mean, 0.95 * before + 0.05 * mean, rtol=1e-3, atol=1e-5)


def test_losses_add_up():
    model = distiller(teacher=tiny_student(seed=1), distillation_loss_weight=0.5)
    losses = {name: float(value) for name, value in model.train_step(batch()).items()}
    assert losses["distillation_loss"] > 0
    assert losses["total_loss"] == pytest.approx(
        losses["student_loss"] + 0.5 * losses["distillation_loss"], rel=1e-5)


def test_weight_zero_never_asks_the_teacher():
    losses = distiller(teacher=tiny_student(seed=1)).train_step(batch())
    assert float(losses["distillation_loss"]) == 0
    assert float(losses["total_loss"]) == float(losses["student_loss"])


def test_own_answer_is_a_perfect_target():
    """The student's own depth, through the inverse of its head, gives back its logits."""
    model = distiller(distillation_loss_weight=1.0)
    data = batch()
    depth = model(data["image"])["depth"]
    target = model._target({**data, "teacher_depth": depth})
    np.testing.assert_allclose(target, model(data["image"])["logits"], atol=1e-3)


def test_cached_answer_is_the_same_target_as_the_asked_teacher():
    teacher = tiny_student(seed=1)
    data = batch()
    depth = training_view(teacher)(data["image"])["depth"]
    asked = distiller(teacher=teacher, distillation_loss_weight=1.0)
    cached = distiller(distillation_loss_weight=1.0)
    np.testing.assert_allclose(
        asked._target(data), cached._target({**data, "teacher_depth": depth}), atol=1e-5)


def test_teacher_of_other_size_and_maximum():
    teacher = build_student(
        "student_28m", alpha=0.35, grid_size=(192, 256), antialias=False, max_depth_m=20.0)
    model = distiller(teacher=teacher, distillation_loss_weight=1.0)
    data = batch(teacher_size=(192, 256))
    assert model._target(data).shape == (2, 64, 80, 1)
    assert np.isfinite(float(model.train_step(data)["total_loss"]))


def test_metres_are_compared_by_silog_golden():
    """A teacher that says twice the student's depth: 10 sqrt(0.15) ln 2 whatever the picture."""
    model = distiller(distillation_loss_weight=1.0, distill="depth")
    data = batch()
    student = model(data["image"])
    target = model._target({**data, "teacher_depth": 2 * student["depth"]})
    assert target.shape == (2, 64, 80, 1)
    near = np.asarray(target) <= 10
    assert near.any()
    losses = model._terms(student, data["depth"], target)
    np.testing.assert_allclose(
        losses["distillation_loss"], 10 * np.sqrt(0.15) * np.log(2), rtol=1e-4)
    np.testing.assert_allclose(
        losses["total_loss"], losses["student_loss"] + losses["distillation_loss"], rtol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 0.0, 1.5])
def test_the_gradient_of_the_teachers_metres(factor):
    """A perfect prediction and a teacher without an answer move nothing; others lower the loss."""
    model = distiller(distillation_loss_weight=1.0, distill="depth")
    data = batch(holes=2.0)  # without a true depth
    depth = keras.ops.stop_gradient(model.student(data["image"], training=True)["depth"])
    before = [variable.numpy() for variable in model.student.trainable_variables]
    first = float(model.train_step(
        {**data, "teacher_depth": factor * depth})["distillation_loss"])
    after = [variable.numpy() for variable in model.student.trainable_variables]
    assert all(np.isfinite(value).all() for value in after)
    if factor == 1.5:
        for _ in range(5):
            last = float(model._terms(model.student(data["image"], training=True), data["depth"],
                                      factor * depth)["distillation_loss"])
            model.train_step({**data, "teacher_depth": factor * depth})
        assert last < first
    else:
        assert first == pytest.approx(0, abs=1e-4)
    if factor == 0:
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)


def test_a_teacher_that_is_asked_at_every_step_gives_the_same_metres():
    teacher = tiny_student(seed=1)
    data = batch()
    depth = training_view(teacher)(data["image"])["depth"]
    asked = distiller(teacher=teacher, distillation_loss_weight=1.0, distill="depth")
    np.testing.assert_allclose(asked._target(data), depth, rtol=1e-5)


def test_features_go_through_a_projection_that_is_trained():
    teacher = build_student("student_28m", alpha=0.35, decoder_filters=(8, 8, 8, 24))
    model = distiller(teacher=teacher, distillation_loss_weight=1.0, distill="features")
    before = model.projection.get_weights()[0].copy()
    assert np.isfinite(float(model.train_step(batch())["total_loss"]))
    assert model.projection.filters == 24
    assert not np.array_equal(before, model.projection.get_weights()[0])


@pytest.mark.parametrize("holes", [0.0, 1e-4, 0.5])
def test_weights_stay_finite_with_holes(holes):
    model = distiller(teacher=tiny_student(seed=1), distillation_loss_weight=1.0,
                      gradient_loss_weight=0.5)
    model.train_step(batch(holes))
    assert all(np.isfinite(value).all() for value in model.student.get_weights())


def test_batch_without_depth_moves_no_trainable_weight():
    student = tiny_student()
    before = [variable.numpy() for variable in student.trainable_variables]
    losses = distiller(student, gradient_loss_weight=1.0).train_step(batch(holes=2.0))
    assert float(losses["total_loss"]) == 0
    for old, new in zip(before, student.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_perfect_prediction_has_a_finite_gradient():
    model = distiller()
    data = batch()
    depth = keras.ops.image.resize(model.student(data["image"], training=True)["depth"], SIZE)
    model.train_step({**data, "depth": depth})
    assert all(np.isfinite(value).all() for value in model.student.get_weights())


def test_mixed_precision_keeps_finite_float32_weights():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = tiny_student()
    finally:
        keras.config.set_dtype_policy("float32")
    model = Distiller(student, max_depth_m=10.0)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3)))
    assert np.isfinite(float(model.train_step(batch())["total_loss"]))
    assert {str(value.dtype) for value in student.get_weights()} == {"float32"}

def test_where_metres_are_a_guess_the_shape_counts_alone():
    depth = np.random.default_rng(0).uniform(1, 9, (4, 8, 10, 1)).astype("f")
    predicted = keras.ops.convert_to_tensor(depth[::-1].copy())
    model = distiller()
    labels = keras.ops.convert_to_tensor([0, 1, 0, 1])
    loss = model._depth_loss(depth, predicted, labels)
    metric = silog(depth[::2], predicted[::2], max_depth_m=10.0)
    shape = trimmed_silog(depth[1::2], predicted[1::2], max_depth_m=10.0)
    np.testing.assert_allclose(loss, np.mean([*metric, *shape]), rtol=1e-6)
    scaled = np.where(np.array([0, 1, 0, 1])[:, None, None, None], depth / 3, depth)
    np.testing.assert_allclose(model._depth_loss(scaled, predicted, labels), loss, rtol=1e-5)
    for kind in (0, 1, 2):  # a batch of one kind alone
        assert np.isfinite(model._depth_loss(depth, predicted, np.full(4, kind)))


def test_inverse_depth_of_any_scale_and_shift_is_one_label():
    inverse = np.random.default_rng(0).uniform(1, 9, (2, 8, 10, 1)).astype("f")
    predicted = 1 / np.random.default_rng(1).uniform(0.2, 1, inverse.shape).astype("f")
    model, labels = distiller(), np.full(2, Labels.RELATIVE)
    loss = model._depth_loss(inverse, predicted, labels)
    np.testing.assert_allclose(loss, np.mean(scale_shift_invariant_loss(inverse, predicted)))
    moved = model._depth_loss(3 * inverse + 2, predicted, labels)
    np.testing.assert_allclose(moved, loss, rtol=1e-5)
    np.testing.assert_allclose(model._depth_loss(1 / predicted, predicted, labels), 0, atol=1e-6)
