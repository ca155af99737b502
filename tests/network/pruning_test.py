"""Narrow encoders from a wide one: which channels matter, and a start that knows more."""

import keras
import numpy as np
import pytest
from normalized_student import normalize
from normalized_student import pictures

from mai_depth.errors import UserError
from mai_depth.network.backbone import slice_weights
from mai_depth.network.model_file import save_model
from mai_depth.network.pruning import channel_importance
from mai_depth.network.pruning import feature_error
from mai_depth.network.pruning import fit_linear
from mai_depth.network.pruning import prune_encoder
from mai_depth.network.student import build_student


def student(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return build_student(**{"decoder_stride": 16, "max_depth_m": 10.0, **settings})


@pytest.fixture(scope="module")
def wide():
    model = student(alpha=0.5, grid_size=(64, 96))
    normalize(model)
    return model


@pytest.fixture(scope="module")
def images():
    return pictures(24)


def test_fit_linear_by_hand():
    """y = 2 x + 3 and a first guess of 0: the hundredth of the mean square draws 2 to it."""
    x = np.array([[-1.0], [1.0]])
    kernel, shift = fit_linear(x, 2 * x + 3, np.zeros((1, 1)))
    assert kernel[0, 0] == pytest.approx(2 / 1.01) and shift[0] == pytest.approx(3)
    kernel, _ = fit_linear(np.zeros((2, 1)), np.ones((2, 1)), np.full((1, 1), 7.0))
    assert kernel[0, 0] == pytest.approx(7)  # nothing is known: the guess stays


def test_importance_is_what_the_answer_depends_on(wide, images):
    """Channels that nothing reads have none, and the spaces are those of the encoder."""
    model = student(alpha=0.5, grid_size=(64, 96))
    model.set_weights(wide.get_weights())
    project = model.get_layer("expanded_conv_9_project")
    (kernel,) = project.get_weights()
    kernel[:, :, 5:9] = 0.0  # of the space inner_9, after its squeeze-excite
    project.set_weights([kernel])
    gate = model.get_layer("expanded_conv_9_squeeze_excite_conv")
    weights, bias = gate.get_weights()
    weights[:, :, 5:9] = 0.0
    gate.set_weights([weights, bias])
    importance = channel_importance(model, images[:8])
    inner = importance["inner_9"]
    assert inner.shape == (kernel.shape[2],)
    np.testing.assert_array_equal(inner[5:9], 0)
    assert np.count_nonzero(inner) > 0.9 * (inner.size - 4)
    assert {"stem", "output_8", "squeeze_10", "inner_1"} <= set(importance)


@pytest.mark.slow
def test_a_pruned_encoder_starts_better_than_a_sliced_one(wide, images):
    """On pictures that it was not fitted to, by the features with enough pixels to judge."""
    sliced, pruned = (student(1, alpha=0.35, grid_size=(96, 128)) for _ in range(2))
    slice_weights(wide, sliced)
    prune_encoder(wide, pruned, images[:12])
    before, after = (feature_error(wide, model, images[12:]) for model in (sliced, pruned))
    assert set(after) == {"P2", "P3", "P4", "P5"}
    assert after["P3"] + after["P4"] < 0.9 * (before["P3"] + before["P4"])
    decoder = "decoder_p4_conv"
    np.testing.assert_array_equal(
        pruned.get_layer(decoder).get_weights()[0], sliced.get_layer(decoder).get_weights()[0])


def test_the_same_width_stays_the_same_function(wide, images):
    """On another grid too; nothing is left to be fitted."""
    model = student(1, alpha=0.5, grid_size=(64, 128), slim=True)
    prune_encoder(wide, model, images[:8])
    assert feature_error(wide, model, images[8:])["P4"] < 1e-3


@pytest.mark.parametrize("settings", [{"alpha": 0.75}, {"alpha": 0.35, "minimalistic": True}])
def test_another_encoder_is_refused(wide, images, settings):
    narrow = student(**settings)
    with pytest.raises(UserError, match="--prune_from: its encoder is not a wider one"):
        prune_encoder(wide, narrow, images[:8])


def test_a_run_starts_from_the_pruned_encoder(tmp_path, wide, tiny_data):
    from mai_depth.data.sources import DataOptions
    from mai_depth.training.job import Student
    from mai_depth.training.job import TrainingJob
    from mai_depth.training.plan import plan_student
    from mai_depth.training.run import Recipe
    from mai_depth.training.runs import open_and_describe

    save_model(wide, tmp_path / "wide.keras")
    data = DataOptions(data_dir=(str(tiny_data),), cache_dir=str(tmp_path / "cache"))
    job = TrainingJob(
        tmp_path, data, Student("student_28m", alpha=0.35, decoder_stride=16, grid_size=(64, 96),
                                encoder_weights="imagenet", prune_from=f"{tmp_path}/wide.keras"),
        recipe=Recipe(batch_size=4), max_depth_m=10.0)
    run = plan_student(job, *open_and_describe(data))
    first, second = run.build(), run.build()
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    kernel = first.get_layer("expanded_conv_project").get_weights()[0]
    assert np.isin(first.get_layer("conv").get_weights()[0],
                   wide.get_layer("conv").get_weights()[0]).all() and kernel.std() > 0
