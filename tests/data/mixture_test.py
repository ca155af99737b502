"""Several folders: what an epoch draws, in whose metres, and which flags replace which."""

import json
import shutil

import numpy as np
import pytest
from absl import flags

from mai_depth import command
from mai_depth.data.augmentation import OFF
from mai_depth.data.batches import drawn
from mai_depth.data.batches import training_batches
from mai_depth.data.description import read_description
from mai_depth.data.mixture import Labels
from mai_depth.data.mixture import Mixture
from mai_depth.data.mixture import Part
from mai_depth.data.mixture import mix
from mai_depth.data.sources import DataOptions
from mai_depth.data.sources import open_data
from mai_depth.data.sources import open_others
from mai_depth.data.sources import parse_share
from mai_depth.depth import read_depth_units
from mai_depth.errors import UserError
from mai_depth.training.runs import open_and_describe


@pytest.fixture(scope="module")
def other_data(tiny_data, tmp_path_factory):
    """A folder of six training pairs, the first folder's validation pairs."""
    folder = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(tiny_data / "validation", folder / "train")
    return folder


@pytest.fixture(scope="module")
def options(tiny_data, other_data):
    return DataOptions((str(tiny_data), f"{other_data}:0.25"), str(tiny_data / "cache"))


@pytest.fixture(scope="module")
def mixture(options):
    return open_data(options)[0]


def describe_as(folder, **said):
    (folder / "dataset.json").write_text(json.dumps({"kind": "metric", "unit": "mm", **said}))


def test_an_epoch_has_the_pictures_of_the_first_folder_in_the_shares_asked_for(mixture):
    assert isinstance(mixture, Mixture) and len(mixture) == 12 + 6
    assert mixture.counts == (9, 3) and mixture.epoch_size == 12
    for epoch in range(3):
        order = drawn(mixture, 7, epoch).numpy()
        assert len(order) == 12 and (order < 12).sum() == 9


def test_every_picture_of_a_folder_comes_once_before_any_comes_again(mixture):
    seen = [number for epoch in range(4) for number in drawn(mixture, 7, epoch).numpy()
            if number >= 12]
    assert len(seen) == 12
    # Which of an epoch's three comes first is shuffled; six of two epochs are the whole folder.
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(12, 18))


def test_a_folder_smaller_than_its_share_is_repeated(options, mixture):
    big = mix([Part("a", mixture.parts[0]), Part("b", mixture.parts[1].select([0]), 0.5)])
    assert big.counts == (6, 6)
    assert np.count_nonzero(drawn(big, 0, 5).numpy() == 12) == 6


def test_an_order_depends_on_seed_and_epoch_alone(mixture):
    one, same, epoch, seed = (drawn(mixture, *at).numpy().tolist()
                              for at in ((1, 2), (1, 2), (1, 3), (2, 2)))
    assert one == same and one not in (epoch, seed)


def test_without_shares_folders_are_drawn_by_size(tiny_data, other_data):
    options = DataOptions((str(tiny_data), str(other_data)), str(tiny_data / "cache"))
    assert open_data(options)[0].counts == (8, 4)


def test_one_folder_is_no_mixture(tiny_data):
    options = DataOptions((str(tiny_data),), str(tiny_data / "cache"))
    train, _ = open_data(options)
    assert not isinstance(train, Mixture) and train.scale is None and train.home is train


def test_pictures_and_depth_are_those_of_their_folder(mixture):
    first, other = mixture.parts
    numbers = np.array([17, 0, 12, 11])
    rgb, depth = mixture.rgb[numbers], mixture.depth[numbers]
    for row, (pairs, index) in enumerate([(other, 5), (first, 0), (other, 0), (first, 11)]):
        np.testing.assert_array_equal(rgb[row], pairs.rgb[index])
        np.testing.assert_array_equal(depth[row], pairs.depth[index])
    np.testing.assert_array_equal(mixture.rgb[17, ::32], other.rgb[5, ::32])


def test_a_folder_of_an_unknown_camera_counts_for_its_shape(mixture):
    assert mixture.labels.tolist() == [Labels.METRIC] * 12 + [Labels.SHAPE] * 6
    batch, = training_batches(mixture, view_size=(32, 40), depth_size=(32, 40), batch_size=12,
                              seed=0, first_epoch=0, epochs=1, augmentation=OFF)
    assert sorted(batch["labels"].numpy()) == [0] * 9 + [1] * 3


def test_the_start_says_whose_metres_are_not_learned_and_why(
        tiny_data, other_data, tmp_path, capsys):
    known, labelled = tmp_path / "known", tmp_path / "labelled"
    for folder in (known, labelled):
        shutil.copytree(other_data, folder)
    describe_as(known, focal_length=0.9)
    (labelled / "labels.json").write_text("{}")
    others = [f"{folder}:0.25" for folder in (other_data, known, labelled)]
    open_and_describe(DataOptions((str(tiny_data), *others), str(tmp_path / "cache")))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines[:4]] == [
        str(folder) for folder in (tiny_data, other_data, known, labelled)]
    assert lines[1].startswith(f"{other_data}: 3 pictures of an epoch, 6 pairs, depth ")
    assert lines[1].endswith("; WARNING: its shape is learned, but not its metres, because "
                             f"{other_data}/dataset.json gives no focal_length (fx / width)")
    assert [number for number, line in enumerate(lines) if "its metres" in line] == [1]


def test_depth_of_a_known_camera_is_brought_to_the_first_ones(tiny_data, other_data, tmp_path):
    first, other = tmp_path / "first", tmp_path / "other"
    shutil.copytree(tiny_data, first, ignore=shutil.ignore_patterns("cache"))
    shutil.copytree(other_data, other)
    describe_as(first, focal_length=0.9)
    lengths = {f"train/{index:04d}": 0.6 + 0.1 * index for index in range(6)}
    describe_as(other, focal_lengths=lengths)
    options = DataOptions((str(first), f"{other}:0.5"), str(tmp_path / "cache"))
    train, validation = open_data(options)
    assert set(train.labels.tolist()) == {Labels.METRIC}
    expected = [0.9 / (0.6 + 0.1 * index) for index in range(6)]
    np.testing.assert_allclose(train.scale[12:], expected, rtol=1e-6)
    assert set(train.scale[:12]) == {1.0} and validation.scale is None
    np.testing.assert_allclose(
        train.depth_m(13), train.parts[1].depth[1] / 1000 * expected[1], rtol=1e-5)
    batches = training_batches(train, view_size=(480, 640), depth_size=(480, 640), batch_size=12,
                               seed=0, first_epoch=0, epochs=1, augmentation=OFF)
    order = drawn(train, 0, 0).numpy()
    depth = next(iter(batches))["depth"].numpy()[..., 0]
    for row, number in enumerate(order):
        np.testing.assert_allclose(depth[row], train.depth_m(number), rtol=1e-6)


def test_the_unit_of_a_folder_of_ours_is_known(tiny_data, other_data, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(other_data, other)
    describe_as(other, focal_length=0.811)
    options = DataOptions((str(tiny_data), str(other)), str(tmp_path / "cache"),
                          depth_units_per_m=5000)
    train, _ = open_data(options)
    assert train.units_per_m == 5000 and train.parts[1].units_per_m == 1000
    np.testing.assert_allclose(
        train.depth_m(12), train.parts[1].depth[0] / 1000, rtol=1e-6)


def test_labels_of_teachers_are_never_metric(other_data, tmp_path):
    folder = tmp_path / "labelled"
    shutil.copytree(other_data, folder)
    (folder / "labels.json").write_text("{}")
    assert not read_description(folder).is_measured


def test_inverse_depth_is_read_where_metres_are_not_needed(tiny_data, other_data, tmp_path):
    folder = tmp_path / "relative"
    shutil.copytree(other_data, folder)
    (folder / "train/depth").rename(folder / "train/inverse_depth")
    cache_dir = str(tmp_path / "cache")
    train, _ = open_data(DataOptions((str(tiny_data), f"{folder}:0.5"), cache_dir))
    assert train.labels[12:].tolist() == [Labels.RELATIVE] * 6
    np.testing.assert_array_equal(
        train.depth[12], read_depth_units(folder / "train/inverse_depth/0000.png"))
    with pytest.raises(UserError, match="has no unit, but metres are needed"):
        open_data(DataOptions((str(folder), str(tiny_data)), cache_dir))


def test_what_else_has_validation_pairs_is_measured_too(tiny_data, other_data, options):
    assert open_others(options) == {}
    both = DataOptions((str(other_data), str(tiny_data)), str(tiny_data / "cache"),
                       validation_count=2)
    assert [len(pairs) for pairs in open_others(both).values()] == [6]


@pytest.mark.parametrize(("said", "words"), [
    ("{", "cannot be read"), ("[]", "cannot be read"),
    ('{"focal_length": -1}', "-1 picture widths"),
    ('{"focal_lengths": {"train/a": "x"}}', "cannot be read"),
])
def test_a_damaged_description_is_named(tmp_path, said, words):
    (tmp_path / "dataset.json").write_text(said)
    with pytest.raises(UserError, match=words) as fault:
        read_description(tmp_path)
    assert "dataset.json" in str(fault.value) and "\n" not in str(fault.value)


def test_rooms_alone_need_a_count_before_they_are_made(tmp_path):
    with pytest.raises(UserError, match=r"--data_dir=rooms: nothing to validate on; give your"):
        open_data(DataOptions(("rooms",), str(tmp_path / "cache")))
    assert not (tmp_path / "cache").exists()


def test_shares_are_told_from_names(tmp_path):
    (tmp_path / "a:0.3").mkdir()
    assert parse_share("b:0.3") == ("b", 0.3)
    assert parse_share(f"{tmp_path}/a:0.3") == (f"{tmp_path}/a:0.3", None)
    assert parse_share("C:/pictures") == ("C:/pictures", None)
    words = r"a share must be between 0 and 1; give one, e.g. .*b:0.3"
    for text in ("b:0", "b:1.5", "b:nan"):
        with pytest.raises(UserError, match=words):
            parse_share(text)


def test_shares_that_leave_nothing_are_refused(mixture):
    first, other = mixture.parts
    with pytest.raises(UserError, match=r"--data_dir=b: of the 12 pictures .* none is left for it"):
        mix([Part("a", first), Part("b", other, 0.01)])
    with pytest.raises(UserError, match=r"--data_dir=a: .* none is left for it"):
        mix([Part("a", first), Part("b", other, 0.6), Part("c", other, 0.6)])


@pytest.fixture
def parse(tmp_path, monkeypatch):
    values = flags.FlagValues()
    flags.DEFINE_multi_string("data_dir", [], "", flag_values=values)
    flags.DEFINE_integer("epochs", 1, "", flag_values=values)
    monkeypatch.setattr(command.flags, "FLAGS", values)
    monkeypatch.setattr(command, "_replaceable", {"data_dir"})
    (tmp_path / "a.flags").write_text("--data_dir=a\n--epochs=3\n--data_dir=b:0.2\n")

    def read(*arguments):
        command._parse(["train.py", f"--flagfile={tmp_path / 'a.flags'}", *arguments])
        return values.data_dir, values.epochs

    return read


def test_the_command_line_replaces_the_folders_of_a_flagfile(parse):
    assert parse("--data_dir=c", "--data_dir", "d:0.5", "--epochs=4") == (["c", "d:0.5"], 4)


def test_a_flagfiles_folders_hold_where_the_command_line_has_none(parse):
    assert parse("--epochs=4") == (["a", "b:0.2"], 4)
