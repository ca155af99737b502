"""Metrics of models over a split, and the sheet of pictures."""

import keras
import numpy as np
import pytest
from PIL import Image

from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.metrics import image_metrics
from mai_depth.training.evaluation import evaluate
from mai_depth.training.evaluation import evaluate_constant
from mai_depth.training.evaluation import geometric_mean_depth
from mai_depth.training.evaluation import predict_pairs
from mai_depth.training.sheet import save_sheet
from mai_depth.training.teaching import check_view


@pytest.fixture(scope="module")
def pairs(tiny_data, tmp_path_factory):
    return open_split(str(tiny_data), "validation", cache_dir=str(tmp_path_factory.mktemp("cache")))


def red_as_depth():
    """A model whose answer can be worked out by hand: metres = red / 51 + 0.1."""
    image = keras.Input((480, 640, 3))
    kernel = keras.initializers.Constant(np.array([1 / 51, 0, 0]).reshape(1, 1, 3, 1))
    return keras.Model(
        image, keras.layers.Conv2D(1, 1, kernel_initializer=kernel,
                                   bias_initializer=keras.initializers.Constant(0.1))(image))


def test_predictions_come_in_order_and_without_the_padding(pairs):
    depths = list(predict_pairs(red_as_depth(), pairs, batch_size=4))  # 6 pictures: 4 + 2
    assert len(depths) == 6
    for index, depth in enumerate(depths):
        np.testing.assert_allclose(depth, pairs.rgb[index][..., 0] / 51 + 0.1, rtol=1e-5)


def test_evaluate_is_the_mean_over_images(pairs):
    expected = [
        image_metrics(pairs.depth_m(i), pairs.rgb[i][..., 0] / 51 + 0.1) for i in range(len(pairs))]
    found = evaluate(red_as_depth(), pairs)
    assert found["images"] == 6
    for name in ("si_rmse", "rmse", "delta1"):
        assert found[name] == pytest.approx(np.mean([row[name] for row in expected]), rel=1e-4)


def test_constant_is_the_best_one_for_log_depth(pairs):
    depth = np.concatenate([pairs.depth_m(i)[::4, ::4].ravel() for i in range(len(pairs))])
    assert geometric_mean_depth(pairs) == pytest.approx(
        np.exp(np.log(depth[depth > 0.001]).mean()), rel=1e-5)
    metrics = evaluate_constant(pairs, pairs)
    spread = [np.log(pairs.depth_m(i)[pairs.depth_m(i) > 0.001]).std() for i in range(len(pairs))]
    assert metrics["si_rmse"] == pytest.approx(np.mean(spread), rel=1e-4)


def test_a_teacher_without_our_layers_cannot_be_asked_at_every_step():
    with pytest.raises(UserError, match=r"mine.keras: has no layer 'depth_logits'.*--nocache"):
        check_view(red_as_depth(), "mine.keras")


def test_sheet_has_a_row_a_picture_and_a_column_a_map(pairs, tmp_path):
    truth = [pairs.depth_m(index) for index in (0, 3)]
    save_sheet(tmp_path / "sheet.png", pairs, (0, 3), {"teacher": truth, "student": truth})
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (22 + 2 * 240, 5 * 320, 3)
    photo, true, teacher, student, error = np.split(pixels[22 : 22 + 240], 5, axis=1)
    np.testing.assert_array_equal(photo, pairs.rgb[0][::2, ::2])
    np.testing.assert_array_equal(true, teacher)
    np.testing.assert_array_equal(true, student)
    assert (error[:, 4:] == 255).all()  # a perfect answer is white
    assert (error[:, :4] == 0).all()  # and black where the truth is missing
