"""benchmark.accuracy: pairs of a folder, an oracle, pooling, the NYU crop."""

import math

import numpy as np
import pytest
from PIL import Image

from benchmark.accuracy import evaluate
from benchmark.accuracy import list_pairs
from benchmark.accuracy import mean_boundary_f1
from mai_depth.depth import read_depth
from mai_depth.errors import UserError
from mai_depth.metrics import image_metrics
from mai_depth.metrics import pooled_metrics


def _run(*arguments, **options):
    steps, generator = [], evaluate(*arguments, **options)
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


def test_an_oracle_has_no_error(tiny_data):
    pairs = list_pairs(tiny_data, "validation")
    truths = iter([read_depth(depth) for _, depth in pairs])
    steps, metrics = _run(lambda rgb, size: next(truths), pairs)
    assert steps == [1, 2, 3, 4, 5, 6]
    assert metrics["images"] == 6
    assert metrics["si_rmse"] == pytest.approx(0, abs=1e-9)
    assert metrics["delta1"] == metrics["delta1_median_scaled"] == 1
    assert metrics["delta1_affine_aligned"] == metrics["boundary_f1"] == 1


def test_a_wrong_scale_shows_in_one_set_alone(tiny_data):
    pairs = list_pairs(tiny_data, "validation")
    truths = iter([read_depth(depth) * 3 for _, depth in pairs])
    _, metrics = _run(lambda rgb, size: next(truths), pairs)
    assert metrics["abs_rel"] == pytest.approx(2, abs=1e-6)
    assert metrics["abs_rel_median_scaled"] == pytest.approx(0, abs=1e-6)
    assert metrics["si_rmse"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_wrong_scale_and_shift_show_in_all_but_the_aligned(tiny_data, pooled):
    pairs = list_pairs(tiny_data, "validation")
    truths = iter([read_depth(depth) * 0.5 + 1 for _, depth in pairs])
    _, metrics = _run(lambda rgb, size: next(truths), pairs, pooled=pooled)
    assert metrics["abs_rel"] > 0.05 and metrics["abs_rel_median_scaled"] > 0.05
    assert metrics["abs_rel_affine_aligned"] == pytest.approx(0, abs=1e-6)
    assert metrics["delta1_affine_aligned"] == 1


def test_pictures_without_a_true_edge_have_no_part_in_boundary_f1():
    assert mean_boundary_f1([0.5, math.nan, 0.1]) == pytest.approx(0.3)
    assert math.isnan(mean_boundary_f1([math.nan]))


def test_units_and_per_image_mean(tiny_data):
    pairs = list_pairs(tiny_data, "validation")[:2]
    _, metrics = _run(lambda rgb, size: np.full(size, 20.0), pairs, depth_units_per_m=100.0)
    single = [image_metrics(read_depth(d, 100.0), np.full((480, 640), 20.0)) for _, d in pairs]
    assert metrics["rmse"] == pytest.approx(np.mean([m["rmse"] for m in single]))


def test_codes_that_mean_missing_count_nowhere_and_are_told(tmp_path):
    _pair(tmp_path, "a", size=(64, 48))
    path = tmp_path / "validation" / "depth" / "a.png"
    units = np.full((48, 64), 2000, np.uint16)
    units[:10], units[10:20] = 65535, 32001
    Image.fromarray(units).save(path)
    pairs = list_pairs(tmp_path, "validation")
    _, metrics = _run(lambda rgb, size: np.full(size, 2.0), pairs, missing_depth_value=32001)
    assert metrics["rmse"] == 0 and metrics["images"] == 1
    assert (metrics["cleared_pixels"], metrics["cleared_maps"]) == (1280, 1)
    _, metrics = _run(lambda rgb, size: np.full(size, 2.0), pairs)
    assert metrics["cleared_pixels"] == 640 and metrics["rmse"] > 10


def test_pooled_is_that_of_metrics(tiny_data):
    pairs = list_pairs(tiny_data, "validation")
    _, metrics = _run(lambda rgb, size: np.full(size, 2.0), pairs, pooled=True)
    expected = pooled_metrics([(read_depth(d), np.full((480, 640), 2.0)) for _, d in pairs])
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_the_crop_hides_the_border(tiny_data):
    pairs = list_pairs(tiny_data, "validation")[:1]
    truth = read_depth(pairs[0][1])
    wrong = truth.copy()
    wrong[:45], wrong[471:], wrong[:, :41], wrong[:, 601:] = 99, 99, 99, 99
    _, cropped = _run(lambda rgb, size: wrong, pairs, nyu_crop=True)
    assert cropped["rmse"] == pytest.approx(0, abs=1e-6)
    _, whole = _run(lambda rgb, size: wrong, pairs)
    assert whole["rmse"] > 10


def test_the_crop_needs_vga(tmp_path):
    rgb, depth = _pair(tmp_path, "a", size=(64, 48))
    with pytest.raises(UserError, match="--nyu_crop"):
        _run(lambda rgb, size: np.ones(size), [(rgb, depth)], nyu_crop=True)


def test_pairs_that_do_not_match_are_named(tmp_path):
    _pair(tmp_path, "a")
    assert len(list_pairs(tmp_path, "validation")) == 1
    (tmp_path / "validation/depth/b.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 files without a partner.*'b'"):
        list_pairs(tmp_path, "validation")


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        list_pairs(tmp_path, "validation")
    for kind in ("rgb", "depth"):
        (tmp_path / "validation" / kind).mkdir(parents=True)
    with pytest.raises(UserError, match="the folder is empty"):
        list_pairs(tmp_path, "validation")


def test_a_broken_picture_is_named(tmp_path):
    rgb, depth = _pair(tmp_path, "a")
    with open(rgb, "r+b") as file:
        file.truncate(100)
    with pytest.raises(UserError, match=r"a\.png"):
        _run(lambda rgb, size: np.ones(size), [(rgb, depth)])


def test_a_16_bit_picture_is_scaled_as_in_training(tmp_path):
    rgb, depth = _pair(tmp_path, "a")
    gray = np.linspace(0, 65535, 480 * 640).reshape(480, 640).astype(np.uint16)
    Image.fromarray(gray).save(rgb)
    seen = []
    _run(lambda rgb, size: seen.append(rgb) or np.ones(size), [(rgb, depth)])
    np.testing.assert_array_equal(seen[0], np.stack([gray // 257] * 3, axis=-1))


def test_a_turned_picture_is_refused_as_in_training(tmp_path):
    rgb, depth = _pair(tmp_path, "a")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (640, 480)).save(rgb, exif=exif)
    with pytest.raises(UserError, match=r"a\.png: EXIF orientation 6.*rotate"):
        _run(lambda rgb, size: np.ones(size), [(rgb, depth)])


def _pair(folder, name, size=(640, 480)):
    paths = [folder / "validation" / kind / f"{name}.png" for kind in ("rgb", "depth")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3))
    Image.fromarray(noise.astype(np.uint8)).save(paths[0])
    Image.fromarray(np.full(size[::-1], 2000, np.uint16)).save(paths[1])
    return tuple(map(str, paths))
