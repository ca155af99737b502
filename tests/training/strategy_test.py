"""One step and one run on two devices of one process; TF_CONFIG and what may be wrong with it."""

import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY

from mai_depth.data.augmentation import Augmentation
from mai_depth.data.batches import training_batches
from mai_depth.data.sources import open_split
from mai_depth.errors import UserError
from mai_depth.training.batch_norm import FusedBatchNormalization
from mai_depth.training.batch_norm import prepare_batch_norm
from mai_depth.training.cluster import read_cluster
from mai_depth.training.cluster import wait_for_all
from mai_depth.training.strategy import local_workers
from mai_depth.training.workers import Workers

TWO = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


def drive(*arguments):
    """The lines that `strategy_driver` prints."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "strategy_driver.py", *arguments],
        env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]


@pytest.mark.slow
def test_two_devices_take_the_step_of_one_also_where_one_has_no_depth():
    for one, two in drive("losses"):
        assert one["logs"] == pytest.approx(two["logs"], rel=1e-5)
        assert one["logs"]["student_loss"] > 1
        assert one["moved"] == pytest.approx(two["moved"], rel=1e-4)


@pytest.mark.slow
def test_two_devices_learn_what_one_does(tiny_data, tmp_path):
    models = []
    for strategy in ("one", "one_synchronized", "mirrored"):
        drive("fit", strategy, tiny_data, tmp_path / strategy, "17")  # 51 steps
        path = tmp_path / strategy / "student.keras"
        models.append(keras.saving.load_model(path, compile=False))
    one, synchronized, two = models
    assert one.to_json() == two.to_json()
    # Another order of additions alone makes as much of a difference on one device.
    assert apart(one, two) <= max(2 * apart(one, synchronized), 1e-6) < 1e-3


def apart(model, other):
    """The largest difference of two models' weights."""
    return max(np.abs(a - b).max()
               for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


def test_the_parts_of_a_batch_are_the_batch(tiny_data):
    pairs = open_split(str(tiny_data), "train", cache_dir=str(tiny_data / "cache"))

    def batches(**settings):
        return [batch["image"].numpy() for batch in training_batches(
            pairs, view_size=(48, 64), depth_size=(48, 64), batch_size=4, seed=0, first_epoch=1,
            epochs=3, augmentation=Augmentation(min_crop=0.6), **settings)]

    whole = batches()
    first, last = (batches(replicas=range(start, start + 2), all_replicas=4) for start in (0, 2))
    assert len(whole) == 6 and len(first) == len(last) == 12
    for step, image in enumerate(whole):
        parts = [*first[2 * step :][:2], *last[2 * step :][:2]]
        np.testing.assert_allclose(np.concatenate(parts), image, rtol=1e-4)  # vectors end elsewhere


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fused_batch_norm_is_that_of_keras(dtype):
    inputs = np.random.default_rng(0).normal(3, 2, (4, 6, 5, 8)).astype(dtype)
    results = []
    for fused in (False, True):
        model = keras.Sequential([
            keras.layers.Input((6, 5, 8), dtype=dtype),
            keras.layers.BatchNormalization(momentum=0.9, dtype=keras.DTypePolicy(
                "mixed_float16" if dtype == "float16" else "float32"))])
        model.layers[0].set_weights(np.linspace([0.5] * 8, [2.0] * 8, 4))
        if fused:
            prepare_batch_norm(model, synchronized=False)
            assert type(model.layers[0]) is FusedBatchNormalization
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, "float32") ** 3)
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append([outputs, *model.get_weights(), *gradients, model(inputs)])
    tolerance = 1e-5 if dtype == "float32" else 5e-3
    for value, expected in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def test_batch_norm_that_is_synchronised_stays_that_of_keras():
    model = keras.Sequential([keras.layers.Input((4, 4, 2)), keras.layers.BatchNormalization()])
    prepare_batch_norm(model, synchronized=True)
    assert model.layers[0].synchronized
    assert type(model.layers[0]) is keras.layers.BatchNormalization


def test_a_batch_that_cannot_be_shared_is_refused():
    workers = Workers(tf.distribute.get_strategy())
    workers.check_batch(5)
    workers.strategy = type("Three", (), {"num_replicas_in_sync": 3})
    with pytest.raises(UserError, match=r"--batch_size=4: cannot be shared .* a multiple of 3"):
        workers.check_batch(4)


def test_mirrored_wants_a_second_device():
    assert local_workers("auto").replicas == 1
    with pytest.raises(UserError, match="--strategy=mirrored: TensorFlow finds no second GPU"):
        local_workers("mirrored")


def test_the_chief_is_the_first_of_tf_config(monkeypatch):
    config = {"cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]},
              "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    cluster = read_cluster()
    assert [(task.kind, task.host, task.port) for task in cluster.tasks] == [
        ("chief", "a", 1), ("worker", "b", 2), ("worker", "c", 3)]
    assert cluster.own == 1 and not cluster.is_chief


@pytest.mark.parametrize("config", [
    "", "{", "[]", json.dumps({"cluster": TWO}),
    json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
    json.dumps({"cluster": {"worker": ["host"]}, "task": {"type": "worker", "index": 0}})])
def test_a_faulty_tf_config_is_one_line(commands, tmp_path, config):
    done = commands("train.py", "--strategy=multi_worker", f"--workdir={tmp_path / 'run'}",
                    TF_CONFIG=config)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: --strategy=multi_worker: TF_CONFIG is")
    assert not (tmp_path / "run").exists()


def test_parameter_servers_take_no_part(monkeypatch):
    config = {"cluster": {**TWO, "ps": ["127.0.0.1:3"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="TF_CONFIG: ps takes no part"):
        read_cluster()


def test_who_does_not_come_is_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # and does not listen
        own = socket.create_server(("127.0.0.1", 0))
        ports = [own.getsockname()[1], one.getsockname()[1], other.getsockname()[1]]
        own.close()
        config = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
                  "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        with pytest.raises(UserError, match=rf"worker 2 \(127.0.0.1:{ports[2]}\) did not start "
                           r"within 0.1 s; start it, or wait longer with --start_timeout_s"):
            wait_for_all(read_cluster(), 0.1)
        config["task"]["index"] = 1
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        with pytest.raises(UserError, match=rf"port {ports[1]} of this machine cannot be used"):
            wait_for_all(read_cluster(), 0.1)


def test_fine_tuning_for_integers_runs_on_one_device(commands, tmp_path):
    done = commands("train.py", "--train=qat", "--strategy=mirrored",
                    f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert "--strategy=mirrored: --train=qat runs on one device" in done.stderr
