"""benchmark.study.learning: data sets, the mean map, tables, paired differences, the command."""

import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.accuracy_table import read_table
from benchmark.study.accuracy_table import write_lines
from benchmark.study.data_set import open_data_set
from benchmark.study.mean_map import mean_depth_map
from benchmark.study.paired import block_bootstrap
from benchmark.study.paired import compare
from benchmark.study.picture_accuracy import Model
from benchmark.study.picture_accuracy import mean_accuracy
from benchmark.study.picture_accuracy import measure
from mai_depth.errors import UserError
from mai_depth.metrics import abs_rel
from mai_depth.metrics import si_rmse
from mai_depth.network.pretrained import pretrained_path


def write_pairs(folder, *depths_mm):
    """One pair for each depth map [height, width] in millimetres; returns the split's folder."""
    for index, depth in enumerate(depths_mm):
        depth = np.asarray(depth, np.uint16)
        for kind, array in (("rgb", np.zeros((*depth.shape, 3), np.uint8)), ("depth", depth)):
            path = folder / "train" / kind / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return folder / "train"


def line(arm="nyu", picture="0", value=0.2, **changes):
    return Accuracy(**{"arm": arm, "model": "run/student", "sha256": arm, "data": "nyu",
                       "picture": picture, "images": 1, **dict.fromkeys(METRICS, value), **changes})


def test_mean_map_is_the_geometric_mean_of_what_is_valid(tmp_path):
    """1 and 4 m: 2 m; 2 m and a hole: 2 m; no depth at all: the mean of the three logs of 8."""
    folder = write_pairs(tmp_path, [[1000, 2000, 0]], [[4000, 0, 0]])
    np.testing.assert_allclose(mean_depth_map(folder), [[2, 2, 8 ** (1 / 3)]], rtol=1e-6)


def test_mean_map_has_the_lowest_error_of_log_depth(tmp_path):
    depths = np.random.default_rng(0).integers(500, 5000, (4, 6, 8))
    mean = mean_depth_map(write_pairs(tmp_path, *depths))

    def error(answer):
        return np.mean((np.log(depths / 1000) - np.log(answer)) ** 2)

    assert all(error(mean) < error(mean * factor) for factor in (0.9, 1.1))
    assert error(mean) < error(depths.mean(axis=0) / 1000)


def test_mean_map_of_two_sizes_or_of_nothing(tmp_path):
    with pytest.raises(UserError, match=r"1\.png: is 1x3, others are 1x2"):
        mean_depth_map(write_pairs(tmp_path / "sizes", [[1, 2]], [[1, 2, 3]]))
    with pytest.raises(UserError, match="no valid depth"):
        mean_depth_map(write_pairs(tmp_path / "none", [[0, 1]]))


def test_a_data_set_has_a_name_and_a_camera(tmp_path):
    folder = write_pairs(tmp_path / "office", [[1000]], [[2000]])
    assert open_data_set(str(folder)).name == "office/train"
    assert open_data_set(str(folder)).focal_lengths is None
    named = open_data_set(f"near={folder}@1.0325")
    assert (named.name, named.focal_lengths, len(named.pairs)) == ("near", (1.0325, 1.0325), 2)
    (folder.parent / "dataset.json").write_text(
        json.dumps({"focal_length": 0.9, "focal_lengths": {"train/1": 0.7}}))
    assert open_data_set(str(folder)).focal_lengths == (0.9, 0.7)
    assert open_data_set(f"{folder}@0.811").focal_lengths == (0.811, 0.811)


@pytest.mark.parametrize("focal", ["0", "1.2.3", "800", "."])
def test_an_impossible_camera_is_refused(tmp_path, focal):
    folder = write_pairs(tmp_path, [[1000]])
    with pytest.raises(UserError, match=f"--data=.*: {focal} is not a focal length"):
        open_data_set(f"{folder}@{focal}")


def test_a_prediction_is_that_of_the_camera(tmp_path):
    """Twice the focal length: what the network takes for 1 m is 2 m away."""
    folder = write_pairs(tmp_path, [[2000, 4000], [2000, 0]], [[0, 0], [0, 0]])
    model = Model("nyu", "run/student", "ab", lambda rgb: np.array([[1.0, 2.0], [1.0, 9.0]]))
    (right,) = measure([model], open_data_set(f"{folder}@1.622"), fold=3)
    assert (right.abs_rel, right.focal_length, right.fold, right.picture) == (0, 1.622, 3, "0")
    (plain,) = measure([model], open_data_set(str(folder)), fold=None)
    assert (plain.abs_rel, plain.abs_rel_median_scaled, plain.focal_length) == (0.5, 0, None)
    assert plain.si_rmse == right.si_rmse == 0


def test_each_model_has_its_lines_and_a_mean(tmp_path):
    depths = np.random.default_rng(0).integers(500, 5000, (3, 6, 8))
    data = open_data_set(str(write_pairs(tmp_path, *depths)))
    maps = {"a": np.full((6, 8), 2.0), "b": np.linspace(1, 3, 48).reshape(6, 8)}
    models = [Model(arm, arm, arm, lambda rgb, arm=arm: maps[arm]) for arm in maps]
    lines = list(measure(models, data, None))
    assert [(one.arm, one.picture) for one in lines] == [
        (arm, name) for name in "012" for arm in "ab"]
    mean = mean_accuracy(lines[1::2])
    assert (mean.arm, mean.picture, mean.images) == ("b", "", 3)
    for metric, function in (("si_rmse", si_rmse), ("abs_rel", abs_rel)):
        expected = np.mean([function(depth / 1000, maps["b"]) for depth in depths])
        assert getattr(mean, metric) == pytest.approx(expected, abs=1e-5)


def test_pictures_without_an_edge_are_left_out_of_that_mean_alone():
    mean = mean_accuracy([line(value=0.4), line(picture="1", boundary_f1=math.nan)])
    assert (mean.boundary_f1, mean.delta1, mean.images) == (0.4, pytest.approx(0.3), 2)


def test_a_model_of_another_size_is_refused(tmp_path):
    data = open_data_set(str(write_pairs(tmp_path, [[1000, 2000]])))
    model = Model("nyu", "run/student", "ab", lambda rgb: np.ones((2, 2)))
    with pytest.raises(UserError, match=r"0\.png: is 1x2, but run/student answers 2x2"):
        list(measure([model], data, None))


def test_tables_append_and_replace_what_is_measured_again(tmp_path):
    path = tmp_path / "learning.csv"
    write_lines(path, [line("a"), line("b", fold=0, focal_length=0.9)])
    write_lines(path, [line("c", boundary_f1=math.nan), line("a", value=0.5), line("b", fold=1)])
    lines = read_table(path)
    assert [(one.arm, one.fold, one.si_rmse) for one in lines] == [
        ("b", 0, 0.2), ("c", None, 0.2), ("a", None, 0.5), ("b", 1, 0.2)]
    assert lines[0].focal_length == 0.9 and math.isnan(lines[1].boundary_f1)


def test_tables_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("name,value\nx,1\n")
    with pytest.raises(UserError, match=r"other\.csv: is not a table of this command"):
        write_lines(path, [line()])
    assert path.read_text() == "name,value\nx,1\n"
    write_lines(tmp_path / "good.csv", [line()])
    path.write_text((tmp_path / "good.csv").read_text().replace("0.2", "many"))
    with pytest.raises(UserError, match="holds a broken line"):
        read_table(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


def test_paired_differences_by_hand():
    """b - a: 0.1 on the first picture, 0.3 on the second; the third is measured in a alone."""
    pictures = [line("a", str(name), 0.2) for name in range(3)]
    pictures += [line("b", "0", 0.3), line("b", "1", 0.5)]
    found = compare(pictures, ("a", "b"), block=1)["nyu"][0]
    assert (found.metric, found.images) == ("si_rmse", 2)
    assert [found.first, found.second, found.mean] == pytest.approx([0.2, 0.4, 0.2])
    assert [found.low, found.high] == pytest.approx([0.1, 0.3])  # two draws of two


def test_seeds_and_folds_of_one_picture_count_once():
    pictures = [line("a", "0", 0.2, fold=fold) for fold in (0, 1)] + [line("a", "1", 0.2, fold=0)]
    pictures += [line("b", "0", value, fold=0, sha256=str(value)) for value in (0.1, 0.3)]
    pictures += [line("b", "0", 0.6, fold=1), line("b", "1", 0.3, fold=0)]
    found = compare(pictures, ("a", "b"), block=1)["nyu"][0]
    assert found.images == 2
    assert found.mean == pytest.approx(((0.2 + 0.6) / 2 - 0.2 + 0.1) / 2)


def test_data_sets_stay_apart_and_pictures_without_edges_too():
    pictures = [line(arm, data=data, boundary_f1=math.nan)
                for arm in ("a", "b") for data in ("nyu", "office")]
    found = compare(pictures, ("a", "b"), block=1)
    assert list(found) == ["nyu", "office"]
    assert found["nyu"][0].images == 1 and math.isnan(found["nyu"][0].low)
    assert found["nyu"][-1].metric == "boundary_f1" and found["nyu"][-1].images == 0


def test_arms_without_a_common_picture_are_told_which_there_are():
    with pytest.raises(UserError, match=r"--compare=a,c: .*; the arms are a, b"):
        compare([line("a"), line("b", "1")], ("a", "c"), block=1)
    with pytest.raises(UserError, match="no picture in common"):
        compare([line("a"), line("b", "1")], ("a", "b"), block=1)


def test_the_interval_of_neighbours_that_err_alike_is_wider():
    scenes = np.random.default_rng(1).normal(size=20).repeat(10)
    widths = [np.diff(block_bootstrap(scenes, block))[0] for block in (1, 10)]
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(10), rel=0.1)
    low, high = block_bootstrap(scenes, 10)
    assert low < scenes.mean() < high
    assert block_bootstrap(np.full(25, 0.3), 10) == pytest.approx((0.3, 0.3))
    assert np.isnan(block_bootstrap(scenes[:10], 10)).all()


def test_the_command_measures_and_compares(commands, tiny_data, tmp_path):
    tables = [f"--output={tmp_path / 'means.csv'}", f"--pictures={tmp_path / 'pictures.csv'}"]
    measured = ("-m", "benchmark.study.learning", "--fold=1", *tables,
                f"--model={pretrained_path('nyuv2_student_28m')}",
                f"--mean_map={tiny_data / 'train'}", f"--data=tiny={tiny_data}/validation@0.9")
    for _ in range(2):
        done = commands(*measured)
        assert done.returncode == 0, done.stderr
    assert "tiny: 6 pictures, focal length 0.9" in done.stdout
    network, mean_map = read_table(tmp_path / "means.csv")
    assert (network.arm, network.images, network.fold) == ("nyuv2_student_28m", 6, 1)
    assert network.model == "pretrained/nyuv2_student_28m" and network.focal_length == 0.9
    assert mean_map.arm == "mean_map" and mean_map.si_rmse < network.si_rmse
    pictures = read_table(tmp_path / "pictures.csv")
    assert len(pictures) == 12
    assert dataclasses.replace(mean_accuracy(pictures[6:]), picture="") == mean_map
    done = commands("-m", "benchmark.study.learning", tables[1], "--block=2",
                    "--compare=nyuv2_student_28m,mean_map")
    assert done.returncode == 0, done.stderr
    first, _, second, *_ = done.stdout.splitlines()
    assert first == ("tiny: 6 pictures in blocks of 2; nyuv2_student_28m (1 model), "
                     "mean_map (1 model)")
    assert second.split()[:2] == ["si_rmse", f"{network.si_rmse:.4f}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data: give data sets"),
        (["--model=a.keras"], "--data: give data sets"),
        (["--compare=a"], "--compare=a: give two arms, and --pictures"),
        (["--compare=a,b", "--pictures={}/no.csv"], "no.csv: cannot be read"),
        (["--data={}"], "--output: give the .csv file"),
        (["--data={}", "--output={}/o.csv"], "--model: give networks"),
        (["--data={}", "--output={}/no/o.csv", "--model=a.keras"], "its folder is missing"),
        (["--data={}", "--output={}/o.csv", "--model=a.keras", "--corruption=fog"],
         "--corruption=fog: give one of blur1, blur2,"),
        (["--data={}/no/a", "--output={}/o.csv", "--model=a.keras"], "a/rgb: cannot be read"),
    ],
    ids=("nothing", "no data", "one arm", "no table", "no output", "no model", "no folder",
         "no corruption", "no pairs"),
)
def test_faults_are_one_line(commands, tmp_path, arguments, words):
    done = commands("-m", "benchmark.study.learning",
                    *(part.format(tmp_path) for part in arguments))
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]  # TensorFlow, loaded already, may speak before
    assert line.startswith("error: ") and words in line
    assert "Traceback" not in done.stderr
