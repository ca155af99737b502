"""examples/quickstart.ipynb: stored without output, and run from top to bottom."""

import os
import shutil

import pytest
from conftest import REPOSITORY

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
NOTEBOOK = REPOSITORY / "examples" / "quickstart.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    (tmp_path / "examples").mkdir()
    for name in ("export.py", "mai_depth"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    shutil.copy(NOTEBOOK, tmp_path / "examples")
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    notebook = read()
    nbclient.NotebookClient(
        notebook, timeout=500, resources={"metadata": {"path": str(tmp_path / "examples")}}
    ).execute()
    made = tmp_path / "examples" / "quickstart"
    assert {"student.keras", "student.tflite", "student.tflite.json", "student.md"} <= set(
        os.listdir(made))
    said = "".join(output.get("text", "") for cell in notebook.cells
                   for output in cell.get("outputs", ()))
    for words in ("si-RMSE", "1 delegate partition(s)", "(480, 640) float32"):
        assert words in said, said
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ())
                if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
