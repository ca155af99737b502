"""--deterministic: the same bits each time, also of the gradients that threads add up."""

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

# The gradient of the default teacher, four times in one process; prints how many differ.
GRADIENTS = """
from mai_depth.environment import compute_deterministically
compute_deterministically()
import keras, numpy as np, tensorflow as tf
from mai_depth.network.teacher import build_teacher
from mai_depth.training.distiller import training_view
keras.utils.set_random_seed(0)
view = training_view(build_teacher("vit_ti", max_depth_m=10.0, weights=None))
image = np.random.default_rng(0).uniform(0, 255, (8, *view.input.shape[1:])).astype("f")

@tf.function
def gradient():
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(view(image, training=True)["depth"] ** 2)
    return [tf.convert_to_tensor(g) for g in tape.gradient(loss, view.trainable_variables)
            if g is not None]

print(len({b"".join(np.asarray(g).tobytes() for g in gradient()) for _ in range(4)}))
"""


@pytest.mark.slow
def test_the_gradient_of_the_default_teacher_repeats_itself():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(REPOSITORY)}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
    done = subprocess.run([sys.executable, "-c", GRADIENTS], env=environment, capture_output=True,
                          text=True, check=True)
    assert done.stdout.split() == ["1"]
