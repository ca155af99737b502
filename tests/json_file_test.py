"""mai_depth.json_file: small JSON files from anywhere."""

import json
import os

import pytest

from benchmark.sidecar import read_sidecar
from mai_depth.checksum import check_checksum
from mai_depth.errors import UserError
from mai_depth.export.sidecar import read_training
from mai_depth.json_file import read_json
from mai_depth.network.pretrained import list_pretrained

STRANGE = {
    "nested": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    "nested objects": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "a list": ("[1]", "a list instead of a dict"),
    "a number": ("7", "a int instead of a dict"),
    "digits": ('{"sha256": ' + "9" * 5000 + "}", "5000 digits"),
    "not a number": ('{"sha256": NaN}', "NaN is not a number"),
    "infinite": ('{"sha256": -Infinity}', "-Infinity is not a number"),
    "cut off": ('{"sha256": "ab', "Unterminated string"),
    "empty": ("", "Expecting value"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_every_reader_of_a_sidecar_answers_in_one_line(tmp_path, monkeypatch, case):
    text, words = STRANGE[case]
    graph = tmp_path / "a.tflite"
    for name in ("a.tflite.json", "a.json", "index.json"):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr("mai_depth.network.pretrained.FOLDER", tmp_path)
    with pytest.raises(ValueError, match=words):
        read_json(tmp_path / "a.json")
    for read in (read_sidecar, check_checksum):
        with pytest.raises(UserError, match=words) as fault:
            read(graph)
        assert "\n" not in str(fault.value)
    with pytest.raises(UserError, match=r"index.json: broken"):
        list_pretrained()
    assert read_training(tmp_path / "a.keras") == {}  # an export needs no metrics


def test_what_is_no_small_file_is_not_read(tmp_path):
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(3 << 30)  # a hole: takes no space
    with pytest.raises(ValueError, match=r"3221 MB is too large"):
        read_json(tmp_path / "a.json")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("pipe.json", "missing.json", "."):
        with pytest.raises(OSError):
            read_json(tmp_path / name)


def test_good_files_are_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"ü": [1.5, None]}))
    assert read_json(tmp_path / "a.json") == {"ü": [1.5, None]}
