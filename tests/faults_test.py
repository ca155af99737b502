"""Faults of the command line, the environment and the workdir, provoked through `train.py`."""

import importlib.metadata
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from absl import flags
from conftest import REPOSITORY
from small_run import small_model

from mai_depth import command
from mai_depth import environment
from mai_depth.data.pairs import count_same_pictures
from mai_depth.data.sources import open_split
from mai_depth.environment import check_environment
from mai_depth.errors import UserError
from mai_depth.network.student import build_student
from mai_depth.training.teaching import check_answer
from mai_depth.workdir import locked

TRAIN = (sys.executable, str(REPOSITORY / "train.py"))
TINY = ("--alpha=0.35", "--decoder_filters=8,8,8,8", "--batch_size=4", "--epochs=8",
        "--distillation_loss_weight=0", "--deterministic", "--ema_momentum=0.9")


def train(*flags, cwd, **environment):
    """Runs `train.py` to its end and checks the form of its error line, if there is one."""
    done = subprocess.run(
        [*TRAIN, *flags], cwd=cwd, env={**os.environ, **environment}, capture_output=True,
        timeout=600)
    done.stderr = done.stderr.decode(errors="replace")
    done.stdout = done.stdout.decode(errors="replace")
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode == 1:
        assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    return done


def stop_after(process, workdir, epochs, signum):
    """Sends a signal as soon as there is a state of `epochs` complete epochs or more."""
    wanted = f"student-{epochs:04d}.state"
    while not any(path.name >= wanted for path in workdir.glob("student-*.state")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signum)


FLAG_FAULTS = {
    "unknown": (["--epoch=3"], "Unknown command line flag 'epoch'"),
    "no number": (["--epochs=many"], "--epochs=many"),
    "out of range": (["--epochs=0"], "--epochs=0"),
    "positional": (["student.flags"], "'student.flags' is not a flag"),
    "missing flagfile": (["--flagfile=none.flags"], "none.flags"),
    # absl reads it once and warns: nothing of it is lost, so the run may go on.
    "flagfile that includes itself": (["--flagfile=cyclic.flags", "--epochs=0"], "--epochs=0"),
    "flagfile that is no text": (["--flagfile=binary.flags"], "decode"),
    "flagfile without dashes": (["--flagfile=bare.flags"], "'epochs=3' is not a flag"),
}


@pytest.mark.parametrize("fault", FLAG_FAULTS)
def test_a_faulty_command_line_is_one_line(tmp_path, fault):
    (tmp_path / "cyclic.flags").write_text("--flagfile=cyclic.flags\n")
    (tmp_path / "binary.flags").write_bytes(b"--epochs=\xff\xfe\n")
    (tmp_path / "bare.flags").write_text("epochs=3\n")
    flags, message = FLAG_FAULTS[fault]
    before = sorted(os.listdir(tmp_path))
    done = train(*flags, cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == before
    assert done.returncode == 1 and message in done.stderr


def test_damaged_flagfiles_end_in_one_line_or_are_read(tmp_path, monkeypatch, capsys):
    """Fuzzing: 200 flagfiles with flipped bits, truncated, or with a nested flagfile."""
    good = (REPOSITORY / "student.flags").read_bytes() + b"--flagfile=nested.flags\n"
    (tmp_path / "nested.flags").write_text("--epochs=1\n")
    path, dice = tmp_path / "student.flags", random.Random(0)
    monkeypatch.chdir(tmp_path)
    path.write_bytes(good)
    monkeypatch.setattr(command.flags, "FLAGS", flags_of(good))
    assert command._parse(["train.py", f"--flagfile={path}"]) == ["train.py"]
    faults = 0
    for case in range(200):
        damaged = bytearray(good[: dice.randrange(len(good))] if case % 4 == 0 else good)
        for _ in range(dice.randint(1, 4) if damaged else 0):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        monkeypatch.setattr(command.flags, "FLAGS", flags_of(good))
        try:
            command._parse(["train.py", f"--flagfile={path}"])
        except SystemExit as end:
            assert end.code == 1
            assert capsys.readouterr().err.count("\n") == 1
            faults += 1
    assert faults > 100


def flags_of(flagfile):
    values = flags.FlagValues()
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    for line in flagfile.decode().splitlines():
        name, _, value = line.removeprefix("--").partition("=")
        if line.startswith("--") and name != "flagfile":
            define = (flags.DEFINE_integer if value.isdigit() else
                      flags.DEFINE_float if value[0].isdigit() else flags.DEFINE_string)
            define(name, None, "", flag_values=values)
    return values


@pytest.mark.parametrize("variable", ["KERAS_BACKEND=jax", "KERAS_BACKEND=torch",
                                      "TF_USE_LEGACY_KERAS=1"])
def test_a_setting_for_another_keras_is_named(tmp_path, variable):
    name, value = variable.split("=")
    done = train(cwd=tmp_path, **{name: value})
    assert done.returncode == 1
    assert f"error: {name}" in done.stderr and "unset the variable" in done.stderr
    assert not os.listdir(tmp_path)


def test_old_and_missing_packages_are_named_with_the_command(monkeypatch):
    check_environment()
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.9.1rc0")
    with pytest.raises(UserError, match=r"tensorflow 2.9.1rc0 is too old; pip install 'tensorf"):
        check_environment()
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"tensorflow is not installed; pip install 'tensorflow>="):
        check_environment()


@pytest.mark.parametrize("entry", ["train", "export", "mai_depth.predict", "mai_depth.live",
                                   "mai_depth.calibrate", "mai_depth.label"])
def test_ctrl_c_while_a_command_still_imports_is_one_line(entry):
    code = """
import os, runpy, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
sys.meta_path.insert(0, CtrlC())
runpy.run_module(sys.argv[1], run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code, entry], cwd=REPOSITORY, capture_output=True,
                          text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "stopped\n")


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "0"}], ids=str)
def test_half_an_installation_of_tensorflow_is_one_line(tmp_path, level):
    """A full disk stopped pip midway: the package is there, its parts are not."""
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow/__init__.py").write_text("from tensorflow.python import pywrap")
    code = "from mai_depth import command, environment; command.run(environment.start_tensorflow)"
    known = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={**known, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}", **level})
    assert done.returncode == 1
    assert done.stderr == (
        "error: tensorflow cannot be imported (No module named 'tensorflow.python'); install it "
        "again: pip install --force-reinstall tensorflow\n")


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "1"}], ids=str)
def test_tensorflow_says_nothing_but_errors(tmp_path, level):
    code = ("from mai_depth.environment import start_tensorflow; start_tensorflow(); "
            "import tensorflow as tf; tf.constant(1) + 1; tf.get_logger().error('mine'); "
            "one = tf.function(lambda x: x); [one(x) for x in range(9)]")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**environment, **level},
                          check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "ERROR:tensorflow:mine\n")


@pytest.mark.slow
def test_a_training_needs_nobody_who_reads(tiny_data, tmp_path):
    """Its outputs are closed: Keras' bar, tqdm's bars and this project's lines go nowhere."""
    words = [*TRAIN, *TINY, "--epochs=1", f"--data_dir={tiny_data}", f"--cache_dir={tmp_path}/c",
             "--workdir=run"]
    done = subprocess.run(["bash", "-c", '"$@" >&- 2>&-', "-", *words], cwd=tmp_path, timeout=300)
    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        ".lock", "flags.txt", "log.csv", "sheet.png", "student.json", "student.keras"}


def test_a_file_as_workdir_is_named(tmp_path):
    (tmp_path / "run").touch()
    done = train("--workdir=run", cwd=tmp_path)
    assert done.returncode == 1 and "run: cannot be written (File exists)" in done.stderr


def test_the_second_process_ends_at_once_and_names_the_first(tmp_path):
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"):
        done = train("--workdir=run", cwd=tmp_path)
    assert done.returncode == 1
    assert f"in use by process {os.getpid()} on" in done.stderr
    assert os.listdir(tmp_path / "run") == [".lock"]


def test_pictures_of_both_splits_are_counted(tiny_data, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data, ignore=shutil.ignore_patterns("cache"))
    train_pairs, validation_pairs = (
        open_split(str(data), split, cache_dir=str(tmp_path / "cache"))
        for split in ("train", "validation"))
    assert count_same_pictures(train_pairs, validation_pairs) == 0
    for kind in ("rgb", "depth"):
        shutil.copy(data / "train" / kind / "0003.png", data / "validation" / kind / "leak.png")
    leaking = open_split(str(data), "validation", cache_dir=str(tmp_path / "cache"))
    assert count_same_pictures(train_pairs, leaking) == 1


@pytest.mark.parametrize("logit", [np.inf, 0.0], ids=["not finite", "constant"])
def test_a_teacher_that_answers_no_depth_is_refused(tiny_data, logit):
    teacher = small_model()
    head = teacher.get_layer("depth_logits")
    kernel, bias = head.get_weights()
    head.set_weights([np.zeros_like(kernel), np.full_like(bias, logit)])
    if np.isinf(logit):
        teacher.get_layer("depth_low").scale = np.inf
    pairs = open_split(str(tiny_data), "train", cache_dir=str(tiny_data / "cache"))
    with pytest.raises(UserError, match=r"t.keras: this teacher answers .* m for a training pic"):
        check_answer(teacher, "t.keras", pairs)


def test_a_download_that_fails_names_the_local_way(monkeypatch, tmp_path):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"imagenet: .*--encoder_weights") as fault:
        build_student("student_28m", alpha=0.75, encoder_weights="imagenet")
    assert "\n" not in str(fault.value)


def test_a_run_is_stopped_continued_finished_and_protected(commands, tiny_data, tmp_path):
    """The life cycle of a workdir whose name has spaces, umlauts and a tilde."""
    def again(*flags):
        return commands("train.py", *command, *flags, cwd=tmp_path, HOME=str(home))

    home = tmp_path / "Müllers Daten"
    home.mkdir()
    (home / "data").symlink_to(tiny_data)
    command = [*TINY, "--data_dir=~/data", "--cache_dir=~/cache ß", "--workdir=~/läufe/a b"]
    environment = {**os.environ, "HOME": str(home)}
    workdir = home / "läufe" / "a b"

    process = subprocess.Popen([*TRAIN, *command], cwd=tmp_path, env=environment, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stop_after(process, workdir, epochs=1, signum=signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "of 8 epochs are kept in" in errors and "the same command continues" in errors
    assert "Traceback" not in errors

    done = again()
    assert done.returncode == 0 and "continuing after epoch" in done.stdout
    assert [line.split(",")[0] for line in (workdir / "log.csv").read_text().splitlines()] == [
        "epoch", *map(str, range(1, 9))]
    finished = {path.name: path.read_bytes() for path in workdir.iterdir()}
    assert set(finished) == {
        ".lock", "flags.txt", "log.csv", "sheet.png", "student.json", "student.keras"}
    del finished[".lock"]

    done = again()
    assert done.returncode == 0 and "already trained with these flags and data" in done.stdout

    done = again("--alpha=0.5")
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error:") for line in done.stderr.splitlines()) == 1
    assert done.returncode == 1 and "holds another run (alpha was 0.35, is 0.5)" in done.stderr
    assert finished.items() <= {path.name: path.read_bytes() for path in workdir.iterdir()}.items()


@pytest.mark.slow
def test_a_stopped_run_of_the_real_student_is_bit_identical_to_an_unbroken_one(
        tiny_data, tmp_path):
    command = [*TINY, f"--data_dir={tiny_data}", f"--cache_dir={tmp_path}"]
    assert train(*command, "--workdir=unbroken", cwd=tmp_path).returncode == 0
    broken = [*TRAIN, *command, "--workdir=broken"]
    for kill in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(broken, cwd=tmp_path)
        stop_after(process, tmp_path / "broken", 1 if kill == signal.SIGKILL else 3, kill)
        assert process.wait() == (-kill if kill == signal.SIGKILL else 128 + kill)
    assert train(*command, "--workdir=broken", cwd=tmp_path).returncode == 0
    one, other = tmp_path / "unbroken", tmp_path / "broken"
    assert (one / "log.csv").read_text() == (other / "log.csv").read_text()
    records = [json.loads((place / "student.json").read_text()) for place in (one, other)]
    assert records[0] == records[1]
    weights = [keras.saving.load_model(place / "student.keras", compile=False).get_weights()
               for place in (one, other)]
    for value, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(value, expected)
