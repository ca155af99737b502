"""Bad input to the command: one line that names the file or the flag, before a model is built."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mai_depth.network.pretrained import pretrained_path

STUDENT = pretrained_path("nyuv2_student_28m")


@pytest.fixture(scope="module")
def answers(commands, tiny_data, tmp_path_factory):
    """Runs all faulty commands; name -> (exit code, the error lines, all of stderr)."""
    folder = tmp_path_factory.mktemp("faults")
    settings = [f"--cache_dir={folder / 'cache'}", "--batch_size=4"]
    faults = {name: [f"--workdir={folder / name / 'student'}", *arguments]
              for name, arguments in _faults(tiny_data, folder).items()}
    faults["workdir"] = [f"--workdir={tiny_data / 'train/rgb/0000.png'}"]
    found = {}
    for name, arguments in faults.items():
        done = commands("train.py", *settings, *arguments)
        lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        found[name] = (done.returncode, lines, done.stderr)
    return found


def _faults(tiny_data, folder):
    def broken(name, change):
        copy = folder / name / "data"
        shutil.copytree(tiny_data, copy)
        change(copy)
        return [f"--data_dir={copy}"]

    def eight_bits(data):
        path = data / "train/depth/0003.png"
        Image.fromarray(np.asarray(Image.open(path)).astype(np.uint8)).save(path)

    def truncated(data):
        path = data / "train/rgb/0004.png"
        path.write_bytes(path.read_bytes()[:1000])

    def other_size(data):
        path = data / "train/depth/0005.png"
        Image.fromarray(np.ones((240, 320), np.uint16)).save(path)

    empty = folder / "nothing"
    (empty / "train/rgb").mkdir(parents=True)
    (empty / "train/depth").mkdir()
    return {
        "missing": [f"--data_dir={folder / 'nowhere'}"],
        "empty": [f"--data_dir={empty}"],
        "orphan_rgb": broken("orphan_rgb", lambda data: (data / "train/depth/0001.png").unlink()),
        "orphan_depth": broken("orphan_depth", lambda data: (data / "train/rgb/0002.png").unlink()),
        "eight_bits": broken("eight_bits", eight_bits),
        "truncated": broken("truncated", truncated),
        "other_size": broken("other_size", other_size),
        "few": [f"--data_dir={tiny_data}", "--batch_size=16", "--distillation_loss_weight=0"],
        "teacher": [f"--data_dir={tiny_data}", f"--teacher={tiny_data / 'train/rgb/0000.png'}"],
        "positional": [f"--data_dir={tiny_data}", "epochs=3"],
        "flag": ["--epoch=3"],
        "filters": [f"--data_dir={tiny_data}", "--decoder_filters=24,16,8"],
        "filter": ["--decoder_filters=24,16,x,8"],
        "preset": [f"--data_dir={tiny_data}", "--student=student_50m"],
        "grid": [f"--data_dir={tiny_data}", "--grid=100,160"],
        "train_stride": [f"--data_dir={tiny_data}", "--decoder_stride=4", "--train_stride=8"],
        "prune_from": [f"--data_dir={tiny_data}", "--prune_from=nyuv2_student_9m"],
        "student_weights": [f"--data_dir={tiny_data}",
                            "--student_weights=nyuv2_student_28m,nyuv2_student_9m"],
        "two_starts": [f"--data_dir={tiny_data}", "--student_weights=nyuv2_student_28m",
                       "--prune_from=nyuv2_student_90m"],
        "other_student": [f"--data_dir={tiny_data}", "--student=fast", "--max_depth_m=10",
                          "--student_weights=nyuv2_student_28m"],
        "prune_wider": [f"--data_dir={tiny_data}", "--alpha=1.25",
                        "--prune_from=nyuv2_student_28m"],
        "encoder": [f"--data_dir={tiny_data}", "--encoder_weights=no.weights.h5"],
        "wide": [f"--data_dir={tiny_data}", "--alpha=1.25",
                 "--encoder_weights=imagenet"],
        "seed": ["--seed=-1"],
    }


@pytest.mark.parametrize("name, words", [
    ("missing", ["nowhere", "--data_dir"]),
    ("empty", ["nothing/train"]),
    ("orphan_rgb", ["0001"]),
    ("orphan_depth", ["0002"]),
    ("eight_bits", ["depth/0003.png", "8-bit", "16-bit"]),
    ("truncated", ["rgb/0004.png"]),
    ("other_size", ["0005"]),
    ("few", ["--batch_size=16", "12"]),
    ("teacher", ["0000.png", ".keras"]),
    ("workdir", ["0000.png", "--workdir"]),
    ("positional", ["epochs=3", "--"]),
    ("flag", ["epoch"]),
    ("filters", ["--decoder_filters=24,16,8", "four"]),
    ("filter", ["decoder_filters", "four"]),
    ("preset", ["--student=student_50m", "student_90m"]),
    ("grid", ["--grid=100,160", "32"]),
    ("train_stride", ["--train_stride=8", "--decoder_stride=4"]),
    ("prune_from", ["--prune_from=nyuv2_student_9m", "nyuv2_student_90m"]),
    ("student_weights", ["--student_weights=nyuv2_student_9m", "nyuv2_student_90m"]),
    ("two_starts", ["--student_weights", "leave --prune_from out"]),
    ("other_student", ["--student_weights", "another size", "give the --student"]),
    ("prune_wider", ["--prune_from", "--alpha"]),
    ("encoder", ["no.weights.h5", "--encoder_weights"]),
    ("wide", ["--alpha=1.25", "--encoder_weights=none"]),
    ("seed", ["--seed"]),
])
def test_one_line_names_the_fault(answers, name, words):
    code, lines, stderr = answers[name]
    assert code != 0
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(("flag", "words"), [
    ("--teacher=typo.keras", "typo.keras: no such file"),
    ("--teacher=nyuv2_student_28m,typo", "--teacher=typo: no such file or pretrained network; "
     "there are: indoor_accurate, indoor_balanced, "),
    ("--teacher=nyuv2_student_28m,nyuv2_student_90m --nocache_teacher",
     "--nocache_teacher and --distill=features take one --teacher, without --mirror_teacher"),
    ("--mirror_teacher --distill=features", "--distill=features take one --teacher"),
    (f"--train=qat --student_file={STUDENT} --distill=features",
     "--distill=features: --train=qat has no features to compare"),
    ("--teacher_views=0", "teacher_views"),
    ("--train=qat", "student.keras: no such file"),
])
def test_a_missing_model_is_told_before_scenes_are_made(commands, tmp_path, flag, words):
    cache = tmp_path / "cache"
    result = commands(
        "train.py", f"--workdir={tmp_path}/run", f"--cache_dir={cache}", *flag.split())
    assert result.returncode == 1 and words in result.stderr.splitlines()[-1]
    assert not cache.exists()
