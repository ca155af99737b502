"""A tiny, random Depth Anything: the weights of the real one would have to be downloaded."""

import numpy as np
import pytest

from mai_depth.network import depth_anything

PRESET = "depth_anything_v2_small"


def tiny_backbone():
    """A Depth Anything network of 16 channels that sees 8x8 patches."""
    keras_hub = pytest.importorskip("keras_hub")
    encoder = keras_hub.models.DINOV2Backbone(
        patch_size=14, num_layers=4, hidden_dim=16, num_heads=2, intermediate_dim=32,
        image_shape=(112, 112, 3), position_embedding_shape=(112, 112))
    return keras_hub.models.DepthAnythingBackbone(
        image_encoder=encoder, reassemble_factors=[4, 2, 1, 0.5], neck_hidden_dims=[8, 8, 16, 16],
        fusion_hidden_dim=8, head_hidden_dim=8, head_in_index=-1,
        feature_keys=["stage1", "stage2", "stage3", "stage4"], name="tiny")


def tiny_teacher():
    """A random teacher of it, as from `load_teacher` with a preset."""
    teacher = depth_anything.depth_anything_teacher(tiny_backbone(), PRESET)
    random = np.random.default_rng(0)
    teacher.set_weights([value + random.normal(0, 0.1, value.shape).astype(value.dtype)
                         for value in teacher.get_weights()])
    # A random network answers below 0 as often as not, which the last activation cuts off.
    bias = teacher.get_layer("tiny").weights[-1]
    bias.assign(bias + 10.0)
    return teacher
