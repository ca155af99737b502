"""Depth Anything as a teacher: tiny and random, since its weights are downloaded at the user's."""

import sys

import numpy as np
import pytest
from tiny_depth_anything import PRESET
from tiny_depth_anything import tiny_backbone
from tiny_depth_anything import tiny_teacher

from mai_depth.errors import UserError
from mai_depth.network import depth_anything
from mai_depth.network.model_file import save_model
from mai_depth.network.teacher import load_teacher

model = pytest.fixture(scope="module")(tiny_teacher)


@pytest.fixture
def pictures():
    return np.random.default_rng(1).uniform(0, 255, (2, 480, 640, 3)).astype(np.float32)


def test_a_teacher_of_no_unit_is_saved_and_loaded_where_it_is_allowed(tmp_path, model, pictures):
    path = tmp_path / "relative.keras"
    save_model(model, path)
    again = load_teacher(path, allow_relative=True)
    assert depth_anything.is_relative(again)
    answer = again.predict(pictures, verbose=0)
    assert answer.shape == (2, 480, 640, 1)
    assert answer.min() >= 0 and np.ptp(answer) > 0
    np.testing.assert_array_equal(answer, model.predict(pictures, verbose=0))
    np.testing.assert_allclose(again(pictures), answer, atol=1e-4)
    with pytest.raises(UserError, match=r"no unit, but metres are needed; give a --teacher that"):
        load_teacher(path)


def test_colours_are_those_of_imagenet(model):
    colors = model.get_layer("imagenet_colors")
    mean = 255 * np.array([[[[0.485, 0.456, 0.406]]]], np.float32)
    np.testing.assert_allclose(colors(mean), 0, atol=1e-5)
    one = mean + 255 * np.array([0.229, 0.224, 0.225], np.float32)
    np.testing.assert_allclose(colors(one), 1, rtol=1e-5)


def test_a_preset_is_loaded_by_its_name(monkeypatch):
    hub = pytest.importorskip("keras_hub")
    asked = []
    monkeypatch.setattr(hub.models.DepthAnythingBackbone, "from_preset",
                        lambda name: asked.append(name) or tiny_backbone())
    teacher = load_teacher(PRESET, allow_relative=True)
    assert asked == [PRESET] and teacher.name == PRESET
    assert teacher.output_shape == (None, 480, 640, 1)


def test_no_download_is_one_line(monkeypatch):
    hub = pytest.importorskip("keras_hub")

    def fails(name):
        raise ConnectionError("a long story")

    monkeypatch.setattr(hub.models.DepthAnythingBackbone, "from_preset", fails)
    with pytest.raises(UserError, match=r"the download failed \(Connection") as caught:
        load_teacher(PRESET, allow_relative=True)
    assert "\n" not in str(caught.value)


def test_keras_hub_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"^--teacher_preset=depth_.*pip install -e '\.\[hub\]'"):
        load_teacher(PRESET)


def test_presets_are_those_of_keras_hub():
    hub = pytest.importorskip("keras_hub")
    assert set(depth_anything.LICENSES) == set(hub.models.DepthAnythingBackbone.presets)
