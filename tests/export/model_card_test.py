"""The model card: a header that Hugging Face reads, true figures, and code that runs."""

import hashlib
import json
import re

import keras
import numpy as np
import pytest
from normalized_student import pictures
from normalized_student import write_student
from PIL import Image

from mai_depth.data.pairs import Pairs
from mai_depth.errors import UserError
from mai_depth.export import litert
from mai_depth.export import model_card
from mai_depth.export import onnx_file
from mai_depth.metrics import NAMES
from mai_depth.network.pretrained import list_pretrained
from mai_depth.network.pretrained import pretrained_path

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

SOURCES = [
    {"name": "flat", "depth": "measured", "license": "CC BY 4.0 | me: \"here\"", "origin": None},
    {"name": "phone", "depth": "said by teachers", "license": None, "origin": "https://example.org",
     "teachers": [{"name": "small.keras", "license": "Apache-2.0"},
                  {"name": "mine.keras", "license": None}]},
]
METRICS = dict.fromkeys(NAMES, 0.25) | {"images": 80}


@pytest.fixture(scope="module")
def pairs():
    depth = np.broadcast_to(np.arange(500, 980, dtype=np.uint16)[:, None], (480, 640))
    return Pairs(names=("0",), rgb=pictures(1).astype(np.uint8), depth=depth[None].copy(),
                 units_per_m=100.0, fingerprint="none")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, pairs):
    """A .tflite of a student that tells its sources, its card and what was returned."""
    folder = tmp_path_factory.mktemp("run")
    path = write_student(folder / "student.keras")
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(
        {**record, "metrics": METRICS, "other_metrics": {"/home/me/office": METRICS},
         "sources": SOURCES, "builder": {
             **record["builder"], "encoder_weights": "/home/me/wide/student.keras",
             "student_weights": ["/home/me/0/student.keras", "indoor_fast"]}}))
    output = folder / "student.tflite"
    sidecar = litert.export_tflite(path, output, litert.ExportOptions(), pairs)
    return output, model_card.write_card(output, sidecar), sidecar


def header(text):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.S)[1])


def code(text):
    return re.search(r"```python\n(.*?)\n```", text, re.S)[1]


def test_the_header_is_what_hugging_face_reads(exported):
    said = header(exported[1].read_text())
    assert said["pipeline_tag"] == "depth-estimation" and said["license"] == "other"
    [result] = said["model-index"][0]["results"]
    assert result["dataset"]["name"] == "flat, phone"
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == dict.fromkeys(
        NAMES, 0.25)


def test_hugging_faces_own_reader_takes_it(exported):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    card = hub.ModelCard.load(exported[1])
    assert card.data.license_name == "see-licence-below"
    assert {one.metric_type for one in card.data.eval_results} == set(NAMES)
    assert card.data.eval_results[0].task_type == "depth-estimation"


def test_sources_and_licences_go_through(exported):
    output, card, sidecar = exported
    assert output.with_suffix(".md") == card
    assert sidecar["sources"] == SOURCES and list(sidecar["other_metrics"]) == ["office"]
    text = card.read_text()
    assert '| flat | measured | CC BY 4.0 \\| me: "here" | unknown |' in text
    assert "small.keras (Apache-2.0), mine.keras (licence unknown)" in text
    licences = text.partition("## Licence")[2].partition("\n## ")[0]
    assert "- Apache-2.0\n- CC BY 4.0" in licences
    assert sidecar["builder"]["encoder_weights"] == "student.keras"
    assert sidecar["builder"]["student_weights"] == ["student.keras", "indoor_fast"]
    assert "/home" not in json.dumps(sidecar) and b"/home" not in output.read_bytes()
    assert "/home" not in text and "| the student, office | 80 |" in text


def test_three_ways_to_fit(exported):
    _, card, sidecar = exported
    protocols = sidecar["protocols"]
    assert list(protocols) == ["as it is", "median", "scale and shift"]
    assert protocols["as it is"]["si_rmse"] == pytest.approx(sidecar["verification"]["si_rmse"])
    assert protocols["median"]["si_rmse"] == pytest.approx(  # which no factor changes
        protocols["as it is"]["si_rmse"], abs=1e-6)
    assert protocols["scale and shift"]["rmse"] <= protocols["as it is"]["rmse"]
    row = f"fitted by scale and shift | 1 | {protocols['scale and shift']['si_rmse']:.4f} |"
    assert row in card.read_text()
    assert sidecar["sha256"] == hashlib.sha256(exported[0].read_bytes()).hexdigest()
    assert sidecar["sha256"] in card.read_text()


def test_the_code_of_the_card_runs(exported, pairs, tmp_path, monkeypatch):
    Image.fromarray(np.asarray(pairs.rgb[0])).save(tmp_path / "photo.jpg", quality=98)
    (tmp_path / "student.tflite").write_bytes(exported[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code(exported[1].read_text()), names)
    assert names["depth_m"].shape == (480, 640) and names["depth_m"].min() > 0


def test_the_code_for_onnx_runs(exported, pairs, tmp_path, monkeypatch):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    output = tmp_path / "student.onnx"
    sidecar = onnx_file.export_onnx(
        exported[0].with_suffix(".keras"), output, litert.ExportOptions(), pairs)
    card = model_card.write_card(output, sidecar)
    assert card.name == "student.onnx.md" and header(card.read_text())
    Image.fromarray(np.asarray(pairs.rgb[0])).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code(card.read_text()), names)
    assert names["depth_m"].shape == (480, 640) and names["depth_m"].min() > 0


def test_a_shipped_network_tells_its_licence(exported):
    name = "nyuv2_student_28m"
    digest = hashlib.sha256(pretrained_path(name).read_bytes()).hexdigest()
    text = model_card.model_card(
        "student.tflite", {**exported[2], "sources": None, "keras_sha256": digest})
    assert next(one["license"] for one in list_pretrained() if one["name"] == name) in text
    text = model_card.model_card("student.tflite", {**exported[2], "sources": None})
    assert "Not recorded" in text and "- none was given" in text


def test_another_text_is_not_replaced(tmp_path):
    output = tmp_path / "student.tflite"
    model_card.check_card(output, overwrite=False)
    (tmp_path / "student.md").write_text("my notes")
    with pytest.raises(UserError, match=r"student.md: the model card would replace it; .*--over"):
        model_card.check_card(output, overwrite=False)
    model_card.check_card(output, overwrite=True)
    (tmp_path / "student.md").write_text(f"---\n---\n{model_card._MARK}\n")
    model_card.check_card(output, overwrite=False)
    keras.backend.clear_session()
