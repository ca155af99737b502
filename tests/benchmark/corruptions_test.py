"""benchmark.study.corruptions: each kind spoils a picture as its name says."""

import numpy as np
import pytest

from benchmark.study.accuracy_table import read_table
from benchmark.study.corruptions import CORRUPTIONS
from mai_depth.network.pretrained import pretrained_path


def edge():
    """Dark on the left, light on the right: uint8 [48, 64, 3]."""
    rgb = np.full((48, 64, 3), 60, np.uint8)
    rgb[:, 32:] = 180
    return rgb


def steepest(rgb, axis):
    return int(np.abs(np.diff(rgb[..., 0].astype(int), axis=axis)).max())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_spoiled_picture_is_one_of_the_same_size_and_always_the_same(name):
    rgb = edge()
    spoiled = CORRUPTIONS[name](rgb)
    assert (spoiled.shape, spoiled.dtype) == (rgb.shape, rgb.dtype)
    assert (spoiled != rgb).any() and (rgb == edge()).all()
    np.testing.assert_array_equal(CORRUPTIONS[name](rgb), spoiled)


def test_an_edge_is_the_softer_the_wider_the_blur():
    steps = [steepest(CORRUPTIONS[name](edge()), 1) for name in ("blur1", "blur2", "blur4")]
    assert 120 > steps[0] > steps[1] > steps[2] > 0
    assert 120 / 20 < steepest(CORRUPTIONS["motion16"](edge()), 1) <= 120 / 15
    assert steepest(CORRUPTIONS["sharpened"](edge()), 1) > 120


def test_motion_is_along_the_rows_alone():
    across = edge().transpose(1, 0, 2).copy()
    assert steepest(CORRUPTIONS["motion16"](across), 0) == 120


def test_noise_and_light_have_the_strength_of_their_names():
    even = np.full((200, 200, 3), 128, np.uint8)
    assert CORRUPTIONS["noise16"](even).std() == pytest.approx(16, rel=0.02)
    assert CORRUPTIONS["dark"](even).mean() == pytest.approx(128 * 0.25 ** (1 / 2.2), abs=1)


def test_the_command_measures_spoiled_pictures_as_sets_of_their_own(commands, tiny_data, tmp_path):
    done = commands("-m", "benchmark.study.learning", f"--output={tmp_path / 'means.csv'}",
                    f"--model={pretrained_path('nyuv2_student_28m')}",
                    f"--data=tiny={tiny_data}/validation", "--corruption=blur4,dark")
    assert done.returncode == 0, done.stderr
    lines = read_table(tmp_path / "means.csv")
    assert [line.data for line in lines] == ["tiny", "tiny, blur4", "tiny, dark"]
    assert len({line.si_rmse for line in lines}) == 3
