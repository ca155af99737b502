"""The card of an exported file: what it is, learned from, worth, and how it is loaded.

Markdown with the YAML header that Hugging Face reads
(https://huggingface.co/docs/hub/model-cards); its values are written as JSON, which is YAML too.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError
from mai_depth.export.verify import format_verification
from mai_depth.metrics import NAMES
from mai_depth.network.pretrained import list_pretrained

_MARK = "<!-- Written by mai_depth's export.py, which writes it again. -->"
_TITLES = {"si_rmse": "si-RMSE", "rmse": "RMSE (m)", "abs_rel": "REL"}
_FITS = {"as it is": "metres as they are", "median": "scaled to the truth's median",
         "scale and shift": "fitted by scale and shift"}
_LOADING = {
    "tflite": """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter  # pip install ai-edge-litert
from PIL import Image

rgb = Image.open("photo.jpg").convert("RGB").resize(({width}, {height}))
run = Interpreter(model_path="{file}").get_signature_runner()
depth_m = run(image=np.array(rgb, np.{dtype})[None])["depth_m"][0, ..., 0]""",
    "onnx": """\
import numpy as np
import onnxruntime  # pip install onnxruntime
from PIL import Image

rgb = Image.open("photo.jpg").convert("RGB").resize(({width}, {height}))
session = onnxruntime.InferenceSession("{file}")
depth_m = session.run(None, {{"image": np.array(rgb, np.{dtype})[None]}})[0][0, ..., 0]""",
    "saved_model": """\
import numpy as np
import tensorflow as tf  # pip install tensorflow
from PIL import Image

rgb = Image.open("photo.jpg").convert("RGB").resize(({width}, {height}))
model = tf.saved_model.load("{file}")
run = model.signatures["serving_default"]
depth_m = run(image=tf.constant(np.array(rgb, np.{dtype})[None]))["depth_m"].numpy()[0, ..., 0]""",
}


def card_path(output: str | os.PathLike) -> pathlib.Path:
    """Names the card of an exported file: `student.md` of `student.tflite`.

    Those of other formats keep their ending, so that several lie beside each other.
    """
    output = pathlib.Path(output)
    return output.with_suffix(".md") if output.suffix == ".tflite" else pathlib.Path(f"{output}.md")


def check_card(output: str | os.PathLike, overwrite: bool) -> None:
    """Refuses to replace a text that is not a card.

    Args:
        output: The exported file.
        overwrite: Whether that is allowed.

    Raises:
        UserError: A file of the card's name was not written by export.
    """
    path = card_path(output)
    if overwrite or not path.exists():
        return
    if path.is_dir() or _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{path}: the model card would replace it; give --overwrite, or another "
                        "--output")


def write_card(output: str | os.PathLike, sidecar: Mapping[str, Any]) -> pathlib.Path:
    """Writes the card beside an exported file.

    Args:
        output: The file, or the folder of a SavedModel.
        sidecar: What its exporter returned.

    Returns:
        The card's path.
    """
    path = card_path(output)
    write_text_atomic(path, model_card(pathlib.Path(output).name, sidecar))
    return path


def model_card(name: str, sidecar: Mapping[str, Any]) -> str:
    """Writes a card.

    Args:
        name: Of the exported file.
        sidecar: What its exporter returned.

    Returns:
        Markdown with a YAML header.
    """
    header = "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in _header(name, sidecar).items())
    parts = [f"---\n{header}\n---\n{_MARK}\n\n# {name}", _what(sidecar), _data(sidecar),
             _metrics(sidecar), _limits(sidecar), _license(sidecar), _loading(name, sidecar)]
    return "\n\n".join(parts) + "\n"


def _header(name: str, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    metrics = sidecar.get("metrics", {})
    known = [key for key in NAMES if key in metrics]
    result = {
        "task": {"type": "depth-estimation", "name": "Monocular depth estimation"},
        "dataset": {"type": "validation", "name": _names(sidecar)},
        "metrics": [{"type": key, "name": f"{_TITLES.get(key, key)} of the Keras student",
                     "value": round(metrics[key], 4)} for key in known],
    }
    header: dict[str, Any] = {
        "license": "other", "license_name": "see-licence-below", "pipeline_tag": "depth-estimation",
        "tags": ["depth-estimation", "monocular-depth", "mai_depth", sidecar["format"]]}
    if known:
        header["model-index"] = [{"name": name, "results": [result]}]
    return header


def _sources(sidecar: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of the training; of a shipped network, which has none beside it, what the index says."""
    if sidecar.get("sources"):
        return sidecar["sources"]
    return [{"name": "NYU Depth V2", "depth": "measured", "license": entry.get("license"),
             "origin": "Silberman et al., ECCV 2012"}
            for entry in list_pretrained() if entry["sha256"] == sidecar.get("keras_sha256")]


def _names(sidecar: Mapping[str, Any]) -> str:
    return ", ".join(str(source["name"]) for source in _sources(sidecar)) or "not recorded"


def _what(sidecar: Mapping[str, Any]) -> str:
    image, depth = sidecar["input"], sidecar["output"]
    builder = sidecar.get("builder", {})
    rows = [
        ("in", f"`{image['name']}` {image['dtype']} {image['shape']}, RGB {image['range'][0]}.."
               f"{image['range'][1]}, as the camera gives it"),
        ("out", f"`{depth['name']}` {depth['dtype']} {depth['shape']}, depth in metres along the "
                "optical axis"),
        ("network", f"{builder.get('preset', 'a student of mai_depth')}: MobileNetV3-Small with a "
                    "light decoder (Zhang et al., CVPR Workshops 2021)"),
        ("numbers", sidecar.get("quantization", "none").replace("none", "float32")),
        ("farthest depth", f"{sidecar['max_depth_m']:g} m"),
        ("sha256", f"`{sidecar['sha256']}`" if "sha256" in sidecar else "of a folder: none"),
    ]
    return ("Monocular depth: one picture in, depth in metres out.\n\n" + _table(
        ("", "what"), rows))


def _data(sidecar: Mapping[str, Any]) -> str:
    rows = [(source["name"], _labels(source), source.get("license") or "unknown",
             source.get("origin") or "unknown") for source in _sources(sidecar)]
    if not rows:
        return "## Training data\n\nNot recorded: the `.json` beside the student names none."
    return "## Training data\n\n" + _table(("data", "depth", "licence", "origin"), rows)


def _labels(source: Mapping[str, Any]) -> str:
    teachers = [f"{teacher['name']} ({teacher['license'] or 'licence unknown'})"
                for teacher in source.get("teachers", ())]
    return f"{source['depth']}: {', '.join(teachers)}" if teachers else str(source["depth"])


def _metrics(sidecar: Mapping[str, Any]) -> str:
    rows = []
    if "metrics" in sidecar:
        rows.append(("the student, validation", sidecar["metrics"]))
    rows += [(f"the student, {name}", row)
             for name, row in sidecar.get("other_metrics", {}).items()]
    check = f"{sidecar.get('check_data', 'pictures')} of the export's check"
    rows += [(f"this file, {check}, {_FITS[name]}", row)
             for name, row in sidecar.get("protocols", {}).items()]
    lines = [(title, str(row.get("images", "")), *(f"{row[name]:.4f}" for name in NAMES))
             for title, row in rows if all(name in row for name in NAMES)]
    heads = ("of what", "pictures", *(_TITLES.get(name, name) for name in NAMES))
    return ("## Metrics\n\n480x640, per image, then the mean; pixels without true depth do not "
            "count.\n\n" + _table(heads, lines)
            + f"\n\nExport: {_verification(sidecar)}.")


def _verification(sidecar: Mapping[str, Any]) -> str:
    return format_verification(sidecar["verification"], sidecar.get("upsample", ""))


def _limits(sidecar: Mapping[str, Any]) -> str:
    return (
        "## Limits\n\n"
        "- Its metres are those of the camera that it was trained for: another lens gets another "
        "scale.\n"
        "- Outside of the kind of place that it has seen, depth is a guess that looks like depth.\n"
        f"- It never answers more than {sidecar['max_depth_m']:g} m, and gives no confidence.\n"
        "- Fine edges are soft. Mirrors, glass and the sky have no depth that it could learn.\n"
        "- Not for anything in which a wrong depth can hurt people.")


def _license(sidecar: Mapping[str, Any]) -> str:
    told = sorted({str(source["license"]) for source in _sources(sidecar) if source.get("license")}
                  | {str(teacher["license"]) for source in _sources(sidecar)
                     for teacher in source.get("teachers", ()) if teacher["license"]})
    found = "".join(f"\n- {one}" for one in told) or "\n- none was given"
    return ("## Licence\n\nThe code of mai_depth is under Apache-2.0. Whether a network may be "
            "used as you like depends on what it was trained on; the licences of its data and "
            f"teachers, as far as they were given:\n{found}")


def _loading(name: str, sidecar: Mapping[str, Any]) -> str:
    image = sidecar["input"]
    height, width = image["shape"][1:3]
    code = _LOADING[sidecar["format"]].format(
        file=name, dtype=image["dtype"], height=height, width=width)
    return f"## How to load it\n\n```python\n{code}\n```"


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
