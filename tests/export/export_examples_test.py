"""Every export.py line of README and docs/ runs on the student of README's first command."""

import pathlib
import re
import shlex

import keras
import pytest
from conftest import REPOSITORY
from normalized_student import normalize

from mai_depth.network import model_file
from mai_depth.network import student

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
SUFFIXES = {"saved_model": "", "onnx": ".onnx"}
TRAINED = REPOSITORY / "runs" / "student" / "student.keras"


def export_lines():
    """The flags of each line, without those that are given another value here."""
    text = "\n".join(page.read_text() for page in PAGES)
    lines = re.findall(r"^\s*python export\.py\b([^#\n&]*)", text, re.M)
    lines += re.findall(r"`python export\.py\b([^`]*)`", text)
    flags = [tuple(flag for flag in shlex.split(line)
                   if flag.partition("=")[0] not in ("--model", "--data_dir", "--overwrite"))
             for line in lines]
    return sorted(set(flags))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """The same build, not trained, but with numbers of a trained one's size."""
    path = tmp_path_factory.mktemp("runs") / "student.keras"
    keras.utils.set_random_seed(0)  # float16 is refused for some random students
    model = student.build_student("student_90m", max_depth_m=40.0)
    normalize(model)
    model_file.save_model(model, path)
    return path


def test_the_lines_are_found():
    asked = {flag for flags in export_lines() for flag in flags}
    assert {"--quantization=float16", "--quantization=int8", "--quantization=qat"} <= asked


def run_line(commands, flags, model: pathlib.Path, tmp_path, *more):
    suffix = next((ending for form, ending in SUFFIXES.items() if f"--format={form}" in flags),
                  ".tflite")
    given = [f"--model={model}", f"--cache_dir={tmp_path / 'cache'}", *more]
    if not any(flag.startswith("--output=") for flag in flags):
        given.append(f"--output={tmp_path / f'out{suffix}'}")
    return commands("export.py", *given, *flags, cwd=REPOSITORY)


@pytest.mark.parametrize("flags", [
    pytest.param(flags, marks=pytest.mark.slow)
    if any(word in str(flags) for word in ("=qat", "=int8")) else flags
    for flags in export_lines()], ids=" ".join)
def test_no_line_is_refused(commands, flags, stand_in, data_for_int8, tmp_path):
    few = ["--num_calibration=36"] if "int8" in str(flags) else []
    done = run_line(commands, flags, stand_in, tmp_path, f"--data_dir={data_for_int8}", *few)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "limit: " in done.stdout and "NOT ACCURATE" not in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flags", export_lines(), ids=" ".join)
def test_no_line_is_refused_for_the_trained_student(commands, flags, tmp_path):
    """With the scenes that it was trained on, as the first command leaves it."""
    if not TRAINED.is_file():
        pytest.skip(f"{TRAINED}: not there; python train.py --flagfile=student.flags makes it")
    done = run_line(commands, flags, TRAINED, tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
