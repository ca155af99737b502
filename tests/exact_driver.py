"""Fifty steps of a small network in float64, on one device, on two, or as one of some processes.

    python tests/exact_driver.py devices
    python tests/exact_driver.py separate
    python tests/exact_driver.py process [separate]

The loop, the distiller's step with its losses, BatchNormalization and the optimizer are those of
every training; only what rounds to float32 in between is replaced, for that would hide what is
compared. The pictures are random numbers, the same for all. `devices` trains on one device and on
two of this process, `process` as TF_CONFIG says; with `separate`, on two devices or in processes,
each has BatchNormalization of its own. Prints a line of JSON for each training.
"""

import hashlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from strategy_driver import two_devices
from strategy_driver import workers_of

from mai_depth.stopping import Request
from mai_depth.training.batch_norm import prepare_batch_norm
from mai_depth.training.distiller import Distiller
from mai_depth.training.loop import Loop
from mai_depth.training.replicas import count_replicas
from mai_depth.training.strategy import local_workers

STEPS = 50
PICTURES = 12  # in a step: two and three processes share them equally
SIZE = (12, 16)


def keep_float64():
    """Makes float64 of all that is float32 without being told, and where the losses ask for it."""
    keras.config.set_floatx("float64")
    cast = keras.ops.cast
    keras.ops.cast = lambda x, dtype: cast(x, "float64" if dtype == "float32" else dtype)
    # TensorFlow resizes in float32; here nothing changes its size.
    keras.ops.image.resize = lambda x, size, **_: x
    # Keras shares a loss among the devices by a factor that is rounded to float32: of three devices
    # 3e-8 too much.
    of_keras = sys.modules["keras.src.losses.loss"]
    assert callable(of_keras.scale_loss_for_distribution)
    of_keras.scale_loss_for_distribution = lambda value: value / count_replicas()


def network():
    layers = keras.layers
    image = layers.Input((*SIZE, 3), name="view")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters in (4, 8):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Conv2D(1, 3, padding="same", name="depth_logits")(x)
    x = layers.Rescaling(10.0, name="depth_low")(layers.Activation("sigmoid")(x))
    return keras.Model(image, x)


def batches(context):
    """The parts of this process's devices, one after the other, as `training_batches` gives them.

    Some pictures have no valid pixel: then a device has less to compare than another.
    """
    replicas = context.num_replicas_in_sync
    here, part = replicas // context.num_input_pipelines, PICTURES // replicas
    types = {name: tf.TensorSpec((part, *SIZE, channels), tf.float64)
             for name, channels in (("image", 3), ("depth", 1), ("teacher_depth", 1))}

    def parts():
        for step in range(STEPS):
            random = np.random.default_rng(step)
            whole = {name: random.uniform(0.5, 255 if name == "image" else 9,
                                          (PICTURES, *SIZE, spec.shape[-1]))
                     for name, spec in types.items()}
            whole["depth"][random.random(PICTURES) < 0.3] = 0
            for replica in range(context.input_pipeline_id * here,
                                 (context.input_pipeline_id + 1) * here):
                yield {name: value[replica * part :][:part] for name, value in whole.items()}

    return tf.data.Dataset.from_generator(parts, output_signature=types)


def train(workers):
    """Trains and prints losses, the weights, and a digest of their bits."""
    keras.utils.set_random_seed(0)
    with workers.scope():
        model = network()
        distiller = Distiller(model, max_depth_m=10.0, distillation_loss_weight=0.5,
                              gradient_loss_weight=0.5)
        prepare_batch_norm(distiller.student, workers.synchronized)
        optimizer = keras.optimizers.Adam(1e-2, epsilon=1e-3)
        distiller.compile(optimizer)
        optimizer.build(distiller.trainable_variables)
    losses = []
    noted = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: losses.append(logs["total_loss"]))
    with workers.faults_of_peers():
        Loop(distiller, workers, Request()).fit(batches, range(1), STEPS, [noted])
        workers.wait()
    weights = [np.asarray(value) for value in model.get_weights()]
    assert all(value.dtype == np.float64 for value in weights)
    flat = np.concatenate([value.ravel() for value in weights])
    print(json.dumps({"losses": losses, "weights": flat.tolist(), "replicas": workers.replicas,
                      "digest": hashlib.sha256(flat.tobytes()).hexdigest()}), flush=True)


def devices():
    two_devices()
    for strategy in ("one", "mirrored"):
        train(local_workers(strategy))


def separate():
    train(workers_of("mirrored", synchronized=False))


def process(synchronized="synchronized"):
    train(workers_of("multi_worker", synchronized == "synchronized"))


if __name__ == "__main__":
    keras.config.disable_interactive_logging()
    keep_float64()
    globals()[sys.argv[1]](*sys.argv[2:])
