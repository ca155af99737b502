"""The teacher: contract, the cut at `view`, weights from elsewhere, and files that are refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from conftest import REPOSITORY

from mai_depth.errors import UserError
from mai_depth.network import teacher
from mai_depth.network import vit
from mai_depth.network.model_file import save_model
from mai_depth.network.student import build_student
from mai_depth.training.distiller import Distiller
from mai_depth.training.distiller import training_view

TINY = vit.VitSize(embed_dim=16, depth=4, num_heads=2, filters=8)
LOAD_AND_PREDICT = """
import sys
import numpy as np
from mai_depth.network.teacher import load_teacher
model = load_teacher(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A transformer of four blocks that sees 2x2 patches."""
    monkeypatch.setitem(teacher.PRESETS, "tiny", teacher.Preset(TINY, 32, (8, 8, 8)))


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0, 255, (2, 480, 640, 3)).astype(np.float32)


def scramble(model, seed=0):
    """Random weights everywhere: fresh position tables are zeros and would hide a mistake."""
    rng = np.random.default_rng(seed)
    model.set_weights([
        np.abs(value + rng.normal(0, 0.1, value.shape)).astype(value.dtype)
        for value in model.get_weights()
    ])
    return model


def predict(model, image):
    return model.predict(image, verbose=0)


@pytest.mark.parametrize("preset", ["tiny", "vit_ti"])
def test_contract(preset, image):
    model = teacher.build_teacher(preset, max_depth_m=10.0)
    depth = predict(model, image)
    assert model.input.name == "image"
    assert depth.shape == (2, 480, 640, 1)
    assert depth.dtype == np.float32
    assert 0 < depth.min() < depth.max() < 10
    assert model.get_layer("depth_logits").output.shape == (None, 64, 80, 1)
    assert model.get_layer("depth_low").output.shape == (None, 64, 80, 1)


@pytest.mark.parametrize("name", ["vit_l", "vit_b", "vit_s", "vit_ti"])
def test_presets_are_the_published_sizes(name):
    """Millions of parameters of a ViT's blocks: 12 * embed_dim^2 each, and little else."""
    size = teacher.PRESETS[name].vit
    millions = 12 * size.embed_dim**2 * size.depth / 1e6
    assert round(millions) == {"vit_l": 302, "vit_b": 85, "vit_s": 21, "vit_ti": 5}[name]
    assert size.embed_dim // size.num_heads == 64


@pytest.mark.parametrize("view_size", [32, 64, 160])
def test_map_is_the_students_at_any_view(view_size):
    model = teacher.build_teacher("tiny", view_size=view_size)
    assert model.get_layer("view").output.shape == (None, view_size, view_size, 3)
    assert model.get_layer("depth_logits").output.shape == (None, 64, 80, 1)


def test_training_starts_at_the_view(image):
    model = scramble(teacher.build_teacher("tiny"))
    cut = training_view(model)
    resized = keras.layers.Resizing(32, 32, interpolation="bilinear")(image)
    depth = cut(resized, training=False)["depth"]
    whole = keras.layers.Resizing(480, 640, interpolation="bilinear")(depth)
    np.testing.assert_allclose(predict(model, image), whole, rtol=1e-4)


def test_one_step_moves_every_weight():
    model = teacher.build_teacher("tiny", max_depth_m=10.0)
    before = model.get_weights()
    trainer = Distiller(model, max_depth_m=10.0)
    trainer.compile(keras.optimizers.SGD(1e-2))
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.uniform(0, 255, (2, 32, 32, 3)).astype(np.float32),
        "depth": rng.uniform(0.5, 9, (2, 128, 160, 1)).astype(np.float32),
    }
    loss = trainer.train_step(batch)["total_loss"]
    assert np.isfinite(float(loss))
    still = [
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    assert not still


def test_saved_teacher_is_the_same_in_a_fresh_process(tmp_path, image):
    model = scramble(teacher.build_teacher("tiny"))
    save_model(model, tmp_path / "teacher.keras")
    np.save(tmp_path / "image.npy", image)
    files = [str(tmp_path / name) for name in ("teacher.keras", "image.npy", "depth.npy")]
    subprocess.run([sys.executable, "-c", LOAD_AND_PREDICT, *files], check=True, cwd=REPOSITORY)
    assert np.abs(np.load(files[2]) - predict(model, image)).max() == 0.0


def test_student_is_a_teacher(tmp_path, image):
    student = build_student("student_28m")
    save_model(student, tmp_path / "student.keras")
    again = teacher.load_teacher(tmp_path / "student.keras")
    np.testing.assert_array_equal(predict(again, image), predict(student, image))


@pytest.mark.parametrize("kind", [".keras", ".weights.h5"])
def test_weights_of_a_teacher(kind, tmp_path, image):
    source = scramble(teacher.build_teacher("tiny"))
    path = tmp_path / f"teacher{kind}"
    (source.save if kind == ".keras" else source.save_weights)(path)
    model = teacher.build_teacher("tiny", weights=str(path))
    np.testing.assert_array_equal(predict(model, image), predict(source, image))


def test_weights_of_a_transformer_alone(tmp_path):
    source = scramble(vit.build_vit(TINY, 32))
    source.save_weights(tmp_path / "model.weights.h5")
    model = teacher.build_teacher("tiny", weights=str(tmp_path / "model.weights.h5"))
    for new, old in zip(model.get_layer("vit").get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_weights_of_another_size_interpolate_the_positions(tmp_path):
    """From 30x30 patches with windows of 14 to 2x2 patches without windows."""
    source = scramble(vit.build_vit(TINY, 480))
    source.save_weights(tmp_path / "model.weights.h5")
    model = teacher.build_teacher("tiny", weights=str(tmp_path / "model.weights.h5"))
    kept = resized = 0
    for new, old in zip(model.get_layer("vit").weights, source.weights, strict=True):
        if new.shape == old.shape:
            np.testing.assert_array_equal(new, old)
            kept += 1
        else:
            assert new.name in ("pos_embed", "rel_pos_h", "rel_pos_w")
            resized += 1
    assert resized == 1 + 2 * 4
    assert kept > resized


def test_position_tables_keep_a_ramp():
    """A table that grows by one a patch grows by two at half the patches, about its middle."""
    ramp = np.arange(7, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    small = vit._resize_line(ramp, (3, 3))
    np.testing.assert_allclose(small[:, 0], [2 / 3, 3.0, 6 - 2 / 3], rtol=1e-5)
    square = np.broadcast_to(np.arange(8, dtype=np.float32)[None, :, None, None], (1, 8, 8, 2))
    half = vit._resize_grid(square, (1, 4, 4, 2))
    np.testing.assert_allclose(half[0, 1:3, 0, 0], [2.5, 4.5], rtol=1e-5)
    sequence = np.concatenate([np.full((1, 2), 99.0, np.float32), square.reshape(64, 2)])
    resized = vit._resize_sequence(sequence, (17, 2))
    np.testing.assert_array_equal(resized[0], [99.0, 99.0])
    np.testing.assert_array_equal(resized[1:].reshape(1, 4, 4, 2), half)


def test_download_fails_in_one_line(monkeypatch):
    from keras_cv.models import ViTDetBackbone

    def offline(name):
        raise ConnectionError("no network")

    monkeypatch.setattr(ViTDetBackbone, "from_preset", offline)
    with pytest.raises(UserError, match=r"--teacher_weights=vitdet_base_sa1b.*model\.weights\.h5"):
        teacher.build_teacher("tiny", weights="vitdet_base_sa1b")


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ("vitdet_giant", "neither"),
        ("missing.keras", "no such file"),
        ("missing.weights.h5", "no such file"),
    ],
)
def test_unknown_weights_are_refused(weights, reason):
    with pytest.raises(UserError, match=f"--teacher_weights={weights}.*{reason}"):
        teacher.build_teacher("tiny", weights=weights)


@pytest.mark.parametrize("sizes", [(32, 4), (16, 8)], ids=["wider", "deeper"])
def test_weights_of_another_architecture_are_refused(sizes, tmp_path, monkeypatch):
    other = vit.VitSize(*sizes, num_heads=2, filters=8)
    monkeypatch.setitem(teacher.PRESETS, "other", teacher.Preset(other, 32, (8, 8, 8)))
    source = teacher.build_teacher("other")
    for path in (tmp_path / "other.keras", tmp_path / "other.weights.h5"):
        (source.save if path.suffix == ".keras" else source.save_weights)(path)
        with pytest.raises(UserError, match="not the weights of this architecture"):
            teacher.build_teacher("tiny", weights=str(path))


def test_weights_of_a_student_are_refused(tmp_path):
    student = tmp_path / "student.keras"
    save_model(build_student("student_28m"), student)
    with pytest.raises(UserError, match="not the weights"):
        teacher.build_teacher("tiny", weights=str(student))


def test_broken_weights_are_refused(tmp_path):
    path = tmp_path / "broken.weights.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(UserError, match="not a readable HDF5"):
        teacher.build_teacher("tiny", weights=str(path))
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(UserError, match="holds no transformer"):
        teacher.build_teacher("tiny", weights=str(path))


def test_wide_student_sees_twice_the_grid():
    model = teacher.build_teacher("mobilenet", max_depth_m=10.0)
    assert model.get_layer("view").output.shape == (None, 256, 320, 3)
    assert model.get_layer("depth_logits").output.shape == (None, 128, 160, 1)


def test_keras_hub_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[hub\]'"):
        teacher.build_teacher("vit_l_hub")


def test_transformer_of_keras_hub(tmp_path, image, monkeypatch):
    pytest.importorskip("keras_hub")
    tiny_hub = teacher.Preset(TINY, 32, (8, 8, 8), hub=True)
    monkeypatch.setitem(teacher.PRESETS, "tiny_hub", tiny_hub)
    model = scramble(teacher.build_teacher("tiny_hub"))
    assert training_view(model).output["logits"].shape == (None, 64, 80, 1)
    path = tmp_path / "teacher.keras"
    save_model(model, path)
    np.testing.assert_array_equal(
        predict(teacher.load_teacher(path), image), predict(model, image))
    again = teacher.build_teacher("tiny_hub", weights=str(path))
    np.testing.assert_array_equal(predict(again, image), predict(model, image))
    alone = scramble(vit.build_hub_vit(TINY, 64))
    alone.save_weights(tmp_path / "model.weights.h5")
    again = teacher.build_teacher("tiny_hub", weights=str(tmp_path / "model.weights.h5"))
    for new, old in zip(again.get_layer("vit").weights, alone.weights, strict=True):
        assert new.name == "embeddings" or np.array_equal(new, old)


def test_unknown_preset_and_size_are_refused():
    with pytest.raises(UserError, match="vit_l"):
        teacher.build_teacher("vit_xxl")
    with pytest.raises(UserError, match="multiple of 16"):
        teacher.build_teacher("tiny", view_size=100)


def depth_model(height=480, width=640, channels=1):
    inputs = keras.Input((height, width, 3))
    return keras.Model(inputs, keras.layers.Conv2D(channels, 1, padding="same")(inputs))


def test_files_that_are_no_teacher_are_refused(tmp_path):
    refused = {"missing.keras": "no such file", "text.keras": "not a .keras", "old.h5": "HDF5"}
    (tmp_path / "text.keras").write_text("not a zip archive")
    (tmp_path / "old.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    models = {"two.keras": depth_model(channels=2), "small.keras": depth_model(240, 320)}
    nan = depth_model()
    nan.set_weights([np.full_like(value, np.nan) for value in nan.get_weights()])
    for name, model in {**models, "nan.keras": nan, "whole.keras": depth_model()}.items():
        model.save(tmp_path / name)
    whole = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    refused |= {"two.keras": "not a depth model", "small.keras": "480, 640"}
    refused |= {"nan.keras": "NaN", "cut.keras": "truncated"}
    for name, reason in refused.items():
        with pytest.raises(UserError, match=reason) as caught:
            teacher.load_teacher(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)
    assert teacher.load_teacher(tmp_path / "whole.keras").count_params() == 4
