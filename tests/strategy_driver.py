"""One process of a small training on several devices, or alone.

    python tests/strategy_driver.py fit STRATEGY DATA_DIR FOLDER EPOCHS [SECONDS_A_STEP [BATCH]]
    python tests/strategy_driver.py losses

`fit` trains without dropout and prints one line of JSON: a digest of the trained weights, whether
this process is the chief, and how many devices there are. `losses` prints the losses and the
weights' change of one step on one device and on two, where the second has no true depth.
"""

import hashlib
import json
import pathlib
import sys
import time

import keras
import numpy as np
import tensorflow as tf
from small_run import small_model
from small_run import small_run

from mai_depth import command
from mai_depth.training import attempt
from mai_depth.training.batch_norm import prepare_batch_norm
from mai_depth.training.callbacks import WatchSteps
from mai_depth.training.cluster import read_cluster
from mai_depth.training.distiller import Distiller
from mai_depth.training.fit import fit_depth_model
from mai_depth.training.loop import Loop
from mai_depth.training.run import RunOptions
from mai_depth.training.strategy import join_workers
from mai_depth.training.strategy import local_workers
from mai_depth.training.workers import Workers

START_TIMEOUT_S = 30


def two_devices():
    """Splits the CPU into two devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def workers_of(strategy, synchronized=True) -> Workers:
    if strategy == "multi_worker":
        return join_workers(read_cluster(), START_TIMEOUT_S, synchronized)
    if strategy == "mirrored":
        two_devices()
    if strategy == "one_synchronized":
        workers = local_workers("one")
        workers.synchronized = True  # the layer of several devices, on one
        return workers
    return local_workers(strategy, synchronized)


def fit(strategy, data, folder, epochs, seconds="0", batch_size="4"):
    tf.config.experimental.enable_op_determinism()
    workers = workers_of(strategy)
    trained = []
    original = attempt.Attempt.__init__

    def remember(self, *arguments):
        original(self, *arguments)
        trained.append(self.trained)

    def slowly(self, batch, logs=None, original=WatchSteps.on_train_batch_end):
        time.sleep(float(seconds))
        print(f"step {batch}", file=sys.stderr, flush=True)
        original(self, batch, logs)

    attempt.Attempt.__init__ = remember
    WatchSteps.on_train_batch_end = slowly
    folder = pathlib.Path(folder)
    options = RunOptions(workers=workers)
    run = small_run(
        pathlib.Path(data), folder, dropout=0.0, epochs=int(epochs), options=options,
        batch_size=int(batch_size))
    with workers.faults_of_peers():
        fit_depth_model(run)
        workers.wait()
    weights = b"".join(np.asarray(value).tobytes() for value in trained[0].get_weights())
    print(json.dumps({"digest": hashlib.sha256(weights).hexdigest(), "chief": workers.is_chief,
                      "replicas": workers.replicas}), flush=True)


def losses():
    two_devices()
    random = np.random.default_rng(0)
    batch = {"image": random.uniform(0, 255, (4, 48, 64, 3)), "labels": [0, 1, 0, 2],
             "depth": random.uniform(1, 9, (4, 48, 64, 1)),
             "teacher_depth": random.uniform(1, 9, (4, 24, 32, 1))}
    batch["depth"][2:] = 0  # the second device has none
    batch = {name: np.asarray(value, "int32" if name == "labels" else "float32")
             for name, value in batch.items()}
    for labels in (False, True):
        data = {name: value for name, value in batch.items() if labels or name != "labels"}
        print(json.dumps([one_step(local_workers("one"), data),
                          one_step(local_workers("mirrored"), data)]))


def one_step(workers, batch):
    keras.utils.set_random_seed(0)
    with workers.scope():
        model = small_model(dropout=0.0)
        distiller = Distiller(model, max_depth_m=10.0, distillation_loss_weight=0.5,
                              gradient_loss_weight=0.5)
        prepare_batch_norm(distiller.student, workers.synchronized)
        optimizer = keras.optimizers.SGD(1.0)
        distiller.compile(optimizer)
        optimizer.build(distiller.trainable_variables)
    before = model.get_weights()
    loop = Loop(distiller, workers, type("Request", (), {"signum": None}))
    part = len(batch["image"]) // workers.replicas
    shared = workers.strategy.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.constant(value[context.replica_id_in_sync_group * part :][:part])
            for name, value in batch.items()})
    logs = loop._take_step(shared)
    moved = [float(np.abs(new - old).sum())
             for old, new in zip(before, model.get_weights(), strict=True)]
    return {"logs": logs, "moved": moved}


if __name__ == "__main__":
    keras.config.disable_interactive_logging()
    sys.exit(command._exit_code(lambda: globals()[sys.argv[1]](*sys.argv[2:])))
