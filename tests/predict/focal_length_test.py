"""Focal lengths of photographs, flags and networks, and the metres that follow from them."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image
from predict_command import run
from predict_paths_test import MODEL
from predict_paths_test import lines

from benchmark.graph import sample_picture
from mai_depth.data.nyu import NAME as NYU_DEPTH_V2
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes.rooms import room
from mai_depth.data.scenes.shading import render
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import home_focal_length
from mai_depth.export import sidecar
from mai_depth.network.pretrained import list_pretrained
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict import focal_length
from mai_depth.predict.camera_picture import from_array
from mai_depth.predict.camera_picture import read_picture
from mai_depth.predict.prediction import predict
from mai_depth.predict.scale import Scale
from mai_depth.tflite.runner import TfliteNetwork

NETWORK = pretrained_path("indoor_student_90m_int8")


def photo(path, film_mm, size=(640, 480), taken=None, orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = exif.get_ifd(0x8769)
    more[0xA405] = film_mm
    if taken:
        more[0xA002], more[0xA003] = taken
    Image.fromarray(sample_picture()).resize(size).save(path, exif=exif)
    return path


def test_angle_and_focal_length_by_hand():
    assert focal_length.focal_px_of_angle(90, (640, 480)) == pytest.approx(320)
    assert focal_length.focal_px_of_angle(90, (480, 640)) == pytest.approx(320)
    assert focal_length.angle_of_focal_px(320, (640, 480)) == pytest.approx(90)


@pytest.mark.parametrize(("size", "expected"), [
    ((640, 480), 0.8), ((1280, 960), 0.4), ((480, 640), 0.6), ((640, 360), 0.8)])
def test_picture_widths_are_those_of_the_padded_picture(size, expected):
    assert focal_length.in_picture_widths(512, size, (640, 480)) == pytest.approx(expected)


def test_exif_tells_the_focal_length_by_the_diagonal(tmp_path):
    """26 mm, a phone: 26 / 43.267 of the diagonal, which is 1.25 widths of a 4:3 picture."""
    picture = read_picture(photo(tmp_path / "a.jpg", 26))
    assert picture.focal_px == pytest.approx(26 / 43.2666 * 800, rel=1e-5)
    turned = read_picture(photo(tmp_path / "b.jpg", 26, orientation=6))
    assert turned.size == (480, 640) and turned.focal_px == picture.focal_px
    large = read_picture(photo(tmp_path / "c.jpg", 26, (4096, 3072), taken=(4096, 3072)))
    assert large.focal_px == pytest.approx(26 / 43.2666 * 5120, rel=1e-5)
    assert read_picture(photo(tmp_path / "d.png", 26)).focal_px == pytest.approx(picture.focal_px)


@pytest.mark.parametrize(("film_mm", "taken"), [(0, None), (26, (4000, 2000)), (9999, None)])
def test_what_exif_does_not_tell_is_unknown(tmp_path, film_mm, taken):
    assert read_picture(photo(tmp_path / "a.jpg", film_mm, taken=taken)).focal_px is None


def test_a_damaged_exif_leaves_the_picture_good(tmp_path):
    Image.fromarray(sample_picture()).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff")
    assert read_picture(tmp_path / "a.jpg").focal_px is None


def test_every_shipped_network_tells_its_camera():
    assert {entry["focal_length"] for entry in list_pretrained()} == {0.811}
    for entry in list_pretrained():
        assert focal_length.network_focal_length(pretrained_path(entry["name"])) == 0.811


def test_an_export_takes_it_along_beside_the_file_alone(tmp_path):
    (tmp_path / "student.json").write_text(json.dumps({"focal_length": 0.9, "metrics": {}}))
    assert sidecar.read_focal_length(tmp_path / "student.keras") == {"focal_length": 0.9}
    assert sidecar.read_training(tmp_path / "student.keras") == {"metrics": {}}
    assert sidecar.read_focal_length(tmp_path / "other.keras") == {}


def test_a_training_knows_the_camera_of_its_first_folder(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"focal_length": 0.92}))
    assert home_focal_length(DataOptions((str(tmp_path), "rooms:0.3"), "cache")) == 0.92
    assert home_focal_length(DataOptions((NYU_DEPTH_V2,), "cache")) == 0.811
    (tmp_path / "dataset.json").unlink()
    assert home_focal_length(DataOptions((str(tmp_path),), "cache")) is None


def test_the_factor_is_the_ratio_of_the_focal_lengths():
    picture = from_array(sample_picture())
    factor, line = Scale(focal_px=519.04, canonical=0.811).of(picture, (640, 480))
    assert factor == pytest.approx(1.0)
    assert "0.811 picture widths (--focal_length_px), the network's 0.811" in line
    assert Scale(focal_px=1038.08, canonical=0.811).of(picture, (640, 480))[0] == pytest.approx(2)
    factor, line = Scale(canonical=0.811).of(picture, (640, 480))
    assert factor == 1 and "a guess" in line and "--field_of_view_deg" in line
    assert Scale().of(picture, (640, 480)) == (1.0, "")
    with_exif = dataclasses.replace(picture, focal_px=259.52)
    assert Scale(canonical=0.811).of(with_exif, (640, 480))[0] == pytest.approx(0.5)
    assert Scale(canonical=None).of(with_exif, (640, 480))[0] == 1.0
    prediction = predict(TfliteNetwork(NETWORK), picture)
    np.testing.assert_array_equal(prediction.scaled(2.0).answer, 2 * prediction.answer)
    assert prediction.scaled(1.0) is prediction


@pytest.mark.parametrize("widths", [1.3, 0.55])
def test_another_field_of_view_of_a_scene_is_answered_better(widths):
    """Rooms seen with the canonical camera and with another one, from the same place."""
    network, errors = TfliteNetwork(NETWORK), []
    for seed in range(8):
        ratio = {}
        for focal in (0.811, widths):
            scene = room(np.random.default_rng(seed))
            camera = dataclasses.replace(scene.camera, fov=2 * math.atan(0.5 / focal))
            color, depth, _ = render(dataclasses.replace(scene, camera=camera))
            rgb = sensor.photograph(color, np.random.default_rng(1))
            seen = np.isfinite(depth) & (depth > 0) & (depth < 10)
            ratio[focal] = np.exp(np.mean(np.log(network(rgb)[seen] / depth[seen])))
        off = ratio[widths] / ratio[0.811]
        errors.append((abs(math.log(off)), abs(math.log(off * widths / 0.811))))
    before, after = np.mean(errors, axis=0)
    assert after < 0.7 * before


def depth_of(folder, name="photo"):
    return np.load(folder / f"{name}_depth.npy")


def test_predict_says_once_what_it_used(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        photo(tmp_path / "in" / f"{name}.jpg", 26)
    Image.fromarray(sample_picture()).save(tmp_path / "in" / "plain.png")
    done = run("--input=in", "--output=out", MODEL, "--write=npy", cwd=tmp_path)
    assert done.returncode == 0
    assert lines(done) == ["scale: depth x 0.926, focal length 0.751 picture widths (EXIF), the "
                           "network's 0.811",
                           "scale: a guess, no focal length is known; give --field_of_view_deg "
                           "or --camera"]
    done = run("--input=in", "--output=px", MODEL, "--write=npy", "--focal_length_px=519.04",
               cwd=tmp_path)
    assert lines(done) == ["scale: depth x 1.000, focal length 0.811 picture widths "
                           "(--focal_length_px), the network's 0.811"]
    np.testing.assert_allclose(
        depth_of(tmp_path / "out", "a") / depth_of(tmp_path / "px", "a"), 0.7511 / 0.811, rtol=1e-3)
    np.testing.assert_allclose(
        depth_of(tmp_path / "out", "plain"), depth_of(tmp_path / "px", "plain"), rtol=1e-5)


def test_flags_that_contradict_are_one_line(tmp_path):
    photo(tmp_path / "photo.jpg", 26)
    for flags, words in {
        ("--focal_length_px=500", "--field_of_view_deg=60"): "say the same; give one",
        ("--focal_length_px=nan",): "focal_length_px",
        ("--camera=none.json",): "error: --camera=none.json: cannot be read (No such file or "
                                 "directory); python -m mai_depth.calibrate makes one",
        ("--camera=photo.jpg",): "not a camera calibration",
    }.items():
        done = run("--input=photo.jpg", MODEL, *flags, cwd=tmp_path)
        assert done.returncode == 1 and words in lines(done)[-1] and "Traceback" not in done.stderr
