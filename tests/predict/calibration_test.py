"""One factor for a camera: its fit, its file, and how it is used."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from mai_depth.checksum import file_sha256
from mai_depth.errors import UserError
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.calibration import fit_scale
from mai_depth.predict.calibration import mean_depth_ratio
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.camera_file import write_camera
from mai_depth.predict.camera_picture import CameraPicture
from mai_depth.predict.scale import Scale
from mai_depth.predict.scale import other_network


def test_fit_by_hand():
    """Scales 2, 2 and 16: the geometric mean is 4, the logs deviate by -ln 2, -ln 2, 2 ln 2."""
    fit = fit_scale([1.0, 2.0, 0.5], [2.0, 4.0, 8.0])
    assert fit.scale == pytest.approx(4)
    assert fit.standard_error == pytest.approx(math.log(2))  # sqrt(6/2) ln 2 / sqrt(3)
    assert fit.off == pytest.approx((1.0, 1.0, 8.0))
    assert fit.disagreeing() == [2]


def test_a_fit_does_not_depend_on_the_unit_of_either_side():
    random = np.random.default_rng(0)
    answered, measured = random.uniform(0.5, 5, 9), random.uniform(0.5, 5, 9)
    fit, other = fit_scale(answered, measured), fit_scale(answered * 3, measured * 6)
    assert other.scale == pytest.approx(2 * fit.scale)
    assert other.standard_error == pytest.approx(fit.standard_error)
    assert other.off == pytest.approx(fit.off)


def test_one_point_has_no_standard_error():
    fit = fit_scale([1.0], [1.5])
    assert fit.scale == pytest.approx(1.5)
    assert fit.standard_error is None and not fit.disagreeing()


def test_a_picture_is_the_geometric_mean_of_its_ratios():
    ratio = mean_depth_ratio(np.array([[1.0, 1.0, 5.0]]), np.array([[2.0, 8.0, 0.0]]))
    assert ratio == pytest.approx(4)
    with pytest.raises(UserError, match="no pixel"):
        mean_depth_ratio(np.ones((2, 2)), np.zeros((2, 2)))


def test_what_is_written_can_be_read(tmp_path):
    camera = Camera(1.25, 0.02, 3, "a.tflite", "0" * 64)
    write_camera(tmp_path / "camera.json", camera)
    assert read_camera(tmp_path / "camera.json") == camera
    assert str(camera) == "depth x 1.250 +- 2.0 % (3 points)"
    assert str(Camera(1.0, None, 1)) == "depth x 1.000 (1 point)"
    camera = Camera(1.25, 0.02, 3, "a.tflite", "0" * 64, (4000, 3000), 2600.0)
    write_camera(tmp_path / "camera.json", camera)
    assert read_camera(tmp_path / "camera.json") == camera


VGA = (640, 480)


@pytest.mark.parametrize(("size", "focal_px", "factor"), [
    ((4000, 3000), None, 1.5),
    ((1600, 1200), None, 1.5),  # reduced
    ((3000, 4000), None, 1.5 * 3 / 4),  # turned: padded to 5333 pixels, of which it has 4000
    ((4000, 2250), None, 1.5),  # 16:9 has the same width
    ((4000, 3000), 2600.0, 1.5),
    ((4000, 3000), 1300.0, 0.75),  # the wide lens of the same phone
    ((3000, 4000), 1300.0, 0.75 * 3 / 4),
])
def test_a_turned_picture_and_another_lens_have_their_own_factor(size, focal_px, factor):
    """As the factor of focal lengths, `Scale.of` without a calibration, has it."""
    camera = Camera(1.5, size=(4000, 3000), focal_px=2600.0)
    assert camera.factor(size, focal_px, VGA) == pytest.approx(factor)
    if focal_px:
        scale = Scale(canonical=2600 / 4000 / 1.5)
        picture = CameraPicture(Image.new("RGB", (64, 48)), size, focal_px)
        assert scale.of(picture, VGA)[0] == pytest.approx(factor)
        line = Scale(camera, "camera.json").of(picture, VGA)[1]
        assert ("brought to a picture of another shape or lens" in line) == (factor != 1.5)
    assert Camera(1.5).factor(size, focal_px, VGA) == 1.5  # a file of an earlier version


@pytest.mark.parametrize("content", [
    "", "[]", "{}", '{"kind": "mai_depth camera"}', '{"kind": "mai_depth camera", "scale": NaN}',
    '{"kind": "mai_depth camera", "scale": -1}', '{"kind": "mai_depth camera", "scale": "1"}',
    '{"kind": "mai_depth camera", "scale": 1, "offset": 2}', '{"scale": 1}', "\0",
    '{"kind": "mai_depth camera", "scale": 1, "size": [0, 3]}',
    '{"kind": "mai_depth camera", "scale": 1, "size": 7}',
    '{"kind": "mai_depth camera", "scale": 1, "focal_px": -1}'])
def test_what_is_no_calibration_is_one_line(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not a camera calibration"):
        read_camera(path)


def test_a_calibration_is_for_one_network_in_floats_and_integers(tmp_path):
    """As `calibrate` and `live` take it by default."""
    def warning(made_with, used):
        camera = Camera(2.0, network=made_with.name, network_sha256=file_sha256(made_with))
        return other_network(camera, "camera.json", used)

    floats, integers, other = map(pretrained_path, (
        "indoor_student_90m", "indoor_student_90m_int8", "indoor_fast"))
    mine = tmp_path / "student.keras"
    mine.write_bytes(b"mine")
    assert warning(floats, integers) is warning(integers, floats) is warning(mine, mine) is None
    assert warning(other, floats) == (
        f"camera.json was made with indoor_fast.keras, not with {floats}; calibrate again for "
        "right metres")
    assert warning(mine, floats) and warning(floats, mine)
    exported = tmp_path / "small.tflite"
    exported.write_bytes(b"exported")
    assert warning(floats, exported)
    sidecar = tmp_path / "small.tflite.json"  # as export.py writes it
    sidecar.write_text(json.dumps({"keras_sha256": file_sha256(floats)}))
    assert warning(floats, exported) is warning(integers, exported) is None
    assert warning(mine, exported)
