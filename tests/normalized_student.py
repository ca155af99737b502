"""A small student whose activations are as large as a trained one's."""

import json

import keras
import numpy as np

from mai_depth.network.model_file import save_model
from mai_depth.network.student import build_student

BUILDER = {"preset": "student_90m", "alpha": 0.35, "decoder_filters": [8, 8, 8, 8]}
MAX_DEPTH_M = 10.0


def pictures(count, size=(480, 640)):
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 255, (count, size[0] // 16, size[1] // 16, 3))
    return np.kron(coarse, np.ones((1, 16, 16, 1))).astype(np.float32)


def normalize(model):
    """Gives each BatchNorm random factors, and the statistics of noise."""
    random = np.random.default_rng(0)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
        gamma, beta, *moving = layer.get_weights()
        layer.set_weights([random.uniform(0.5, 2.0, gamma.shape),
                           random.normal(0, 0.5, beta.shape), *moving])
    model(pictures(4), training=True)


def write_student(path, **changes):
    """Saves a student, normalized by BatchNorm on noise, and what train.py writes beside it."""
    arguments = {**BUILDER, **changes}
    keras.utils.set_random_seed(0)
    model = build_student(**arguments, max_depth_m=MAX_DEPTH_M)
    normalize(model)
    save_model(model, path)
    path.with_suffix(".json").write_text(
        json.dumps({"builder": arguments, "max_depth_m": MAX_DEPTH_M}))
    return path
