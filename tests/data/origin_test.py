"""Where data come from: what a folder says of itself is handed on."""

import json

import pytest

from mai_depth.data.description import read_description
from mai_depth.data.origin import data_origins
from mai_depth.data.sources import DataOptions
from mai_depth.errors import UserError


def origins(*folders):
    return data_origins(DataOptions(tuple(map(str, folders)), cache_dir=""))


def test_scenes_are_our_own():
    for [said] in (origins(), origins("rooms"), origins("scenes")):
        assert said["license"] == "Apache-2.0" and said["depth"] == "rendered by mai_depth"
    assert origins("nyu_depth_v2")[0]["origin"].startswith("Silberman")


def test_a_folder_says_what_it_knows(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "camera").mkdir()
    (tmp_path / "camera/dataset.json").write_text(json.dumps(
        {"unit": "mm", "license": "CC BY 4.0", "origin": "https://example.org"}))
    (tmp_path / "labelled").mkdir()
    (tmp_path / "labelled/labels.json").write_text(json.dumps(
        {"license": "mine", "teachers": [{"name": "a.keras", "sha256": "0", "license": None}]}))
    plain, camera, labelled = origins(
        tmp_path / "plain", f"{tmp_path / 'camera'}:0.3", tmp_path / "labelled")
    assert plain == {"name": "plain", "depth": "measured", "license": None, "origin": None}
    assert camera == {"name": "camera", "depth": "measured", "license": "CC BY 4.0",
                      "origin": "https://example.org"}
    assert labelled == {"name": "labelled", "depth": "said by teachers", "license": "mine",
                        "origin": None, "teachers": [{"name": "a.keras", "license": None}]}


@pytest.mark.parametrize(("file", "content"), [
    ("dataset.json", "["), ("labels.json", "{}"), ("labels.json", '{"teachers": 3}')])
def test_a_damaged_file_is_named(tmp_path, file, content):
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=f"{file}: cannot be read .*remove the file"):
        origins(tmp_path)


def test_a_licence_alone_leaves_the_unit_to_the_flag(tmp_path):
    """Else `--depth_units_per_m` would be ignored for whoever notes a licence."""
    (tmp_path / "dataset.json").write_text('{"license": "CC0"}')
    assert read_description(tmp_path).units_per_m is None
    (tmp_path / "dataset.json").write_text('{"unit": "mm"}')
    assert read_description(tmp_path).units_per_m == 1000
