"""README and docs/: every command and Python block runs, every link leads somewhere.

A command runs as it stands, in a folder that holds what it names; `SHORTENED` adds flags that
turn minutes into seconds. `EXEMPT` gives the reason why others do not run: of these only the flags
are checked. The blocks of README and docs/python.md run in examples_test.py, the lines of export.py
in export_examples_test.py.
"""

import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest
from conftest import REPOSITORY
from conftest import _write_pair
from documented_commands import PAGES
from documented_commands import anchors
from documented_commands import commands as documented
from documented_commands import links
from documented_commands import python_blocks
from documented_commands import tables_without_command
from PIL import Image

from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.accuracy_table import write_lines
from mai_depth.network.pretrained import pretrained_path
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import write_camera

MAX_README_LINES = 200
_DAYS = "hours on the whole of NYU Depth V2; the tests of benchmark/ run it on small data"
_PARTS = "names flags of a run, without its graphs"
_DEVICE = "needs the board, phone or robot"
_SYSTEM = "changes the system"
_INSTALLS = "installs; .ci/run does so in a new environment, and wheel_test.py as on a board"

# Start of a command -> why it does not run here. Of Python's commands the flags are checked.
EXEMPT = {
    "python -m mai_depth.live": "needs a camera, serves until Ctrl-C; tests/live runs it on clips",
    "python examples/ros2_depth.py": f"{_DEVICE}; examples_ros2_test.py runs its callbacks",
    "python export.py": "export_examples_test.py runs each of these lines",
    "python -m benchmark --graph=STUDENTS.tflite": _DAYS,
    "python -m benchmark --graph=A.tflite --graph=B.tflite --arm64":
        "needs an emulated arm64 LiteRT; benchmark_arm64_test.py runs it where there is one",
    "python -m benchmark --graph=FILE": "the same, with --json; benchmark_command_test.py",
    "python -m benchmark --num_threads": _PARTS,
    "python -m benchmark --profile": _PARTS,
    "python -m benchmark.study ": _DAYS,
    "python -m benchmark.study.folds": "folds_test.py cuts a split of the size that this needs",
    "python -m benchmark.study.frontier": "times eleven graphs, with an emulator; frontier_test.py",
    "python -m benchmark.study.eighty_numbers": "eighty_numbers_test.py runs it on small data",
    "python -m benchmark.study.learning --output=benchmark/results": _DAYS,
    "python train.py --flagfile=student.flags --flagfile=recipes/nyuv2.flags --data_dir=folds/0":
        _DAYS,
    "python train.py --flagfile=student.flags --flagfile=recipes/nyuv2.flags --data_dir=NYUV2":
        _DAYS,
    "python -m benchmark.study.gallery --input=PHOTOS --output=benchmark/results":
        "photographs that are not here; photo_sheet_test.py draws others",
    "python -m benchmark.study.quantization": "half an hour, on at least 64 pictures",
    "python train.py --train=teacher --flagfile=student.flags --flagfile=recipes/nyuv2": _DAYS,
    "python -m mai_depth.label --input=photos --teacher=teacher.keras --teacher_preset":
        "downloads Depth Anything V2; label_test.py runs it with a tiny one of the same build",
    "python -m pytest": "this is it",
    "python -m http.server": "serves until Ctrl-C; live tests open the exported page",
    "python -m benchmark.peers.training": "needs PyTorch; peers_training_test.py",
    "python -m benchmark.training": "minutes; training tests run it on small data",
    "python train.py --flagfile=student.flags --strategy=mirrored": "needs several GPUs",
    "python train.py --flagfile=student.flags --strategy=multi_worker": "needs several machines",
    "python train.py --flagfile=student.flags --flagfile=recipes/nyuv2.flags --data_dir=PACKED":
        "pack_command_test.py trains from a pack",
    "python -m mai_depth.label --input=photos --teacher=teacher.keras --output=labelled --engine":
        "needs Ray, of the extra `scale`",
    "mkcert ": "another project's program",
    "mkdir ": "makes the folder of the next line",
    "npm ": "downloads LiteRT.js",
    "python train.py --help": "absl ends with 1 after its help",
    "python -c from mai_depth.network.pretrained import add_pretrained": "changes this repository",
    "python3 -m venv": _INSTALLS,
    "pip install": _INSTALLS,
    ". venv/bin/activate": _INSTALLS,
    "git clone": _INSTALLS,
    "cd ": "goes on in a folder of the lines before",
    "cp ": "copies what the line before has made",
    "gradle ": f"{_DEVICE}, or Android Studio",
    "make ": "api_docs_test.py and .ci/run run what it runs",
    "adb ": _DEVICE,
    "source /opt/ros": _DEVICE,
    "sudo ": _SYSTEM,
}
# Start of a command -> flags to add after its flag files, so that it runs in seconds.
SHORTENED = {
    "python train.py": ("--epochs=1", "--batch_size=4", "--teacher=teacher.keras",
                        "--teacher_views=1", "--encoder_weights=none", "--cache_dir=cache",
                        "--workdir=new/student"),
    "python -m benchmark ": ("--num_runs=2", "--min_secs=0"),
    "python -m benchmark.peers": ("--peers=fastdepth", "--overwrite"),
    "python -m benchmark.sheets": ("--cache_dir=cache", "--sheets=sheets", "--csv=pictures.csv"),
}
SLOW = (
    "python train.py",
    "python -m benchmark.study.learning --model=A.keras,B.keras --data=DIR/validation "
    "--output=means.csv --corruption",  # seven times the pictures
    "python -m benchmark.study.learning --model=A.keras,B.keras --data=NYUV2/validation@0.811 "
    "--mean_map=NYUV2/train --corruption",
)
# Blocks that do not run: page -> words in the block, and why.
EXEMPT_BLOCKS = {
    "docs/growing.md": ("TensorflowTrainer", "needs Ray and several machines"),
    "docs/labelling.md": ("depth_anything_v2_small",
                          "downloads; depth_anything_test.py loads a tiny one"),
}
# Lines of a block that do not run.
EXEMPT_LINES = {"docs/model_card.md": ("https://example.org", "no such file is on the internet")}


def exemption(command) -> str | None:
    """Why a command does not run here, or None."""
    text = f"{command} "
    return next((reason for start, reason in EXEMPT.items() if text.startswith(start)), None)


RUN = [command for command in documented() if exemption(command) is None]
CHECKED = [command for command in documented() if command.has_our_flags and exemption(command)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The files that the pages name: pictures, recordings, networks, graphs, flags and a cache."""
    folder = tmp_path_factory.mktemp("found")
    _make_pictures(folder)
    _make_networks(folder)
    _make_cache(folder)
    for name in ("recipes", "student.flags", "teacher.flags"):
        (folder / name).symlink_to(REPOSITORY / name)
    lines = [Accuracy(arm=arm, model=arm, sha256=arm, data="d", picture=str(index), images=1,
                      **dict.fromkeys(METRICS, 0.2 + index / 100))
             for arm in ("A", "B", "nyuv2_student_28m", "nyuv2_student_90m") for index in range(20)]
    write_lines(folder / "pictures.csv", lines)
    return folder


def _make_pictures(folder: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 6)):
        for kind in ("rgb", "depth"):
            (folder / "DIR" / split / kind).mkdir(parents=True)
        for index in range(count):
            _write_pair(folder / "DIR" / split, f"{index:04d}", random)
    (folder / "DIR" / "dataset.json").write_text(json.dumps({"kind": "metric", "unit": "mm"}))
    for name in ("NYUV2", "camera", "redkitchen"):
        shutil.copytree(folder / "DIR", folder / name)
    shutil.copytree(folder / "DIR", folder / "folds/0")
    (folder / "photos").mkdir()
    (folder / "RECORDINGS").mkdir()
    for path in sorted((folder / "DIR/train/rgb").iterdir()):
        shutil.copy(path, folder / "RECORDINGS" / f"color_{path.name}")
        shutil.copy(folder / "DIR/train/depth" / path.name,
                    folder / "RECORDINGS" / f"depth_{path.name}")
        Image.open(path).save(folder / "photos" / f"{path.stem}.jpg")
    for suffix in ("jpg", "bmp"):
        Image.open(path).save(folder / f"photo.{suffix}")
    for name in ("labelled", "LABELLED"):  # as mai_depth.label leaves it
        for copy in range(5):  # more than --validation_count=50
            for path in (folder / "DIR/train").glob("*/*.png"):
                linked = folder / name / "train" / path.parent.name / f"{copy}_{path.name}"
                linked.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, linked)
        (folder / name / "labels.json").write_text(json.dumps({
            "kind": "depth", "unit": "mm", "pairs": 60, "teachers": [{"name": "t", "sha256": "0"}],
        }))


def _make_networks(folder: pathlib.Path) -> None:
    (folder / "runs/student").mkdir(parents=True)
    (folder / "peers").mkdir()
    student, graph = map(pretrained_path, ("nyuv2_student_28m", "nyuv2_student_90m_int8"))
    for name in ("runs/student/student", "student", "teacher", "A", "B", "small", "old"):
        shutil.copy(student, folder / f"{name}.keras")
    for name in ("runs/student/student", "student", "student_int8", "student_90m",
                 "student_90m_uint8", "A", "B", "peers/paper_90m", "peers/fastdepth",
                 "peers/midas_v21_small"):
        shutil.copy(graph, folder / f"{name}.tflite")
    write_camera(folder / "camera.json", Camera(1.1))


def _make_cache(folder: pathlib.Path) -> None:
    """A few of the scenes and rooms of the first run, marked as complete."""
    from mai_depth.data.room_folder import make_rooms
    from mai_depth.data.synthetic import write_synthetic

    scenes = write_synthetic(folder / "cache/synthetic", train=8, validation=4)
    rooms = make_rooms(folder / "cache/rooms", count=4)
    for path, changes in ((scenes / "synthetic.json", {"train": 300, "validation": 60}),
                          (rooms / "dataset.json", {"count": 2400})):
        record = json.loads(path.read_text())
        (record.get("rooms") or record).update(changes)
        path.write_text(json.dumps(record))


@pytest.fixture
def folder(found, tmp_path):
    """A separate folder for each command, since they write beside what they read."""
    shutil.copytree(found, tmp_path, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
    return tmp_path


def remove_output(command, folder: pathlib.Path) -> None:
    """Removes a command's output, which is there for the commands that read it."""
    for word in command.words:
        if word.startswith("--output="):
            path = folder / word.removeprefix("--output=")
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def marked(command):
    slow = str(command).startswith(SLOW)
    return pytest.param(command, id=str(command), marks=[pytest.mark.slow] * slow)


def shortened(command) -> list[str]:
    """The words after `python`; flags other than those of a flag file stay as they are."""
    words = list(command.words[1:])
    more = next((flags for start, flags in SHORTENED.items()
                 if f"{command} ".startswith(start)), ())
    after = [number for number, word in enumerate(words, 1) if word.startswith("--flagfile")]
    place = after[-1] if after else len(words)
    return [*words[:place], *more, *words[place:]]


@pytest.mark.parametrize("command", [marked(command) for command in RUN])
def test_command_runs(command, folder, commands):
    assert command.is_python, f"{command.page}: {command}: run it here, or add it to EXEMPT"
    remove_output(command, folder)
    done = commands(*shortened(command), cwd=folder)
    assert done.returncode == 0, f"{command.page}: {done.stdout[-1000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("command", CHECKED, ids=str)
def test_flags_of_other_commands_exist(command, folder, commands):
    """absl reads all flags before it answers --help, and then exits with 1."""
    done = commands(*command.words[1:], "--helpshort", cwd=folder)
    assert "flags:" in done.stdout and not re.search("^error", done.stderr, re.M), done.stderr


def test_no_exemption_is_left_over():
    texts = [f"{command} " for command in documented()]
    for start in (*EXEMPT, *SHORTENED, *SLOW):
        assert any(text.startswith(start) for text in texts), start
    for page, (words, _) in {**EXEMPT_BLOCKS, **EXEMPT_LINES}.items():
        assert any(words in block for block in python_blocks(page)), page


@pytest.mark.parametrize("page", [
    page for page in PAGES if python_blocks(page) and page not in ("README.md", "docs/python.md")])
def test_python_blocks_run(page, folder, commands):
    """All blocks of a page run in order in one process: they may build on each other."""
    skipped = EXEMPT_BLOCKS.get(page, (None,))[0]
    blocks = [block for block in python_blocks(page) if not (skipped and skipped in block)]
    if not blocks:
        pytest.skip(f"{page}: {EXEMPT_BLOCKS[page][1]}")
    if "onnx" in page:
        pytest.importorskip("cv2")
        _export_onnx(folder, commands)
    left_out = EXEMPT_LINES.get(page, (None,))[0]
    lines = [line for line in "\n".join(blocks).splitlines()
             if not (left_out and left_out in line)]
    (folder / "example.py").write_text("\n".join(lines))
    done = commands(folder / "example.py", cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


def _export_onnx(folder, commands) -> None:
    pytest.importorskip("onnxruntime")
    done = commands("export.py", "--format=onnx", "--model=student.keras", "--output=student.onnx",
                    "--data_dir=DIR", "--cache_dir=cache", cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        path = (REPOSITORY / page).parent / name if name else REPOSITORY / page
        assert path.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(path), f"{page}: {link}"


@pytest.mark.parametrize("page", ["README.md", "benchmark/results/README.md"])
def test_every_table_of_results_names_its_command(page):
    assert not tables_without_command(page)


def test_every_page_of_docs_is_linked_from_the_readme():
    linked = {link.partition("#")[0] for link in links("README.md")}
    pages = {page for page in PAGES if page.startswith("docs/")}
    assert not pages - linked


def test_readme_and_contributing_stay_short():
    for page, most in {"README.md": MAX_README_LINES, "CONTRIBUTING.md": 60}.items():
        assert len((REPOSITORY / page).read_text().splitlines()) <= most


def test_files_of_the_walk_exist():
    """README names them relative to mai_depth/ or to the repository."""
    text = (REPOSITORY / "README.md").read_text()
    walk = text.partition("## The walk of one batch")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", walk)
    assert len(named) > 15
    for name in named:
        assert any((REPOSITORY / home / name).is_file() for home in ("", "mai_depth")), name
