"""Depth of a video without flicker: still where the picture is, at once where it moves."""

import dataclasses
import time

import numpy as np
import pytest

from benchmark.graph import sample_picture
from mai_depth.data.scenes import sensor
from mai_depth.data.scenes.rooms import room
from mai_depth.data.scenes.shading import render
from mai_depth.metrics import si_rmse
from mai_depth.network.pretrained import pretrained_path
from mai_depth.tflite.runner import TfliteNetwork

pytest.importorskip("cv2")
from mai_depth.predict.steady import SteadyDepth
from mai_depth.predict.steady import SteadyNetwork

NOISE = 4.0  # levels of a sensor indoors


@pytest.fixture(scope="module")
def network():
    return TfliteNetwork(pretrained_path("nyuv2_student_90m_int8"))


def clip(pan, seed=0, count=16):
    """Pictures with fresh noise, true depth, and which pixels stay as they were."""
    scene, random, before = room(np.random.default_rng(seed)), np.random.default_rng(9), None
    for index in range(count):
        if index == 0 or pan:
            camera = dataclasses.replace(
                scene.camera, fov=1.1, yaw=scene.camera.yaw + pan * index)
            color, depth, _ = render(dataclasses.replace(scene, camera=camera))
            photo = sensor.photograph(color, np.random.default_rng(1)).astype(np.float32)
        rgb = np.clip(photo + random.normal(0, NOISE, photo.shape), 0, 255).astype(np.uint8)
        still = None if before is None else np.abs(255 * (color - before)).max(axis=0) < 1
        before = color
        yield rgb, depth, still


def flicker(maps, stills):
    pairs = zip(maps[:-1], maps[1:], stills[1:], strict=True)
    return np.mean([np.abs(np.log(new) - np.log(old))[still].mean()
                    for old, new, still in list(pairs)[4:]])


@pytest.mark.parametrize(("pan", "limit"), [(0.0, 0.15), (0.004, 0.5)])
def test_flicker_of_a_noisy_clip_is_at_least_halved(network, pan, limit):
    steady = SteadyDepth()
    pictures, truth, stills = zip(*clip(pan), strict=True)
    plain = [network(rgb).copy() for rgb in pictures]
    filtered = [steady(rgb, answer.copy()) for rgb, answer in zip(pictures, plain, strict=True)]
    assert flicker(filtered, stills) < limit * flicker(plain, stills)
    errors = [np.mean([si_rmse(true, answer) for true, answer in zip(truth, maps, strict=True)])
              for maps in (plain, filtered)]
    assert errors[1] < errors[0] + 1e-3


def square(left):
    """A bright square before a wall, and its depth: 1 m before 3 m."""
    rgb = np.full((480, 640, 3), 60, np.uint8)
    depth = np.full((480, 640), 3.0, np.float32)
    rgb[160:320, left : left + 160], depth[160:320, left : left + 160] = 200, 1.0
    return rgb, depth


def test_a_moving_edge_is_followed_in_its_own_frame():
    steady = SteadyDepth()
    for _ in range(20):
        steady(*square(40))
    for left in range(60, 300, 40):
        rgb, depth = square(left)
        answer = steady(rgb, depth)
        inside = answer[180:300, left + 12 : left + 148]
        np.testing.assert_allclose(inside, 1.0, rtol=0.01)
        np.testing.assert_allclose(answer[180:300, left - 38 : left - 12], 3.0, rtol=0.03)


def test_a_common_factor_is_jitter_and_followed_slowly():
    steady, rgb, depth = SteadyDepth(), *square(40)
    first = steady(rgb, depth.copy())
    np.testing.assert_array_equal(first, depth)
    jumped = steady(rgb, 1.2 * depth)
    assert np.abs(np.log(jumped / depth)).max() < 0.1 * np.log(1.2) + 1e-3
    for _ in range(200):
        answer = steady(rgb, 1.2 * depth)
    np.testing.assert_allclose(answer, 1.2 * depth, rtol=0.02)


def test_what_is_constant_stays_and_units_do_not_matter():
    rgb, depth = square(100)
    metres, millimetres, random = SteadyDepth(), SteadyDepth(), np.random.default_rng(0)
    for _ in range(5):
        noisy = depth * np.exp(random.normal(0, 0.05, depth.shape)).astype(np.float32)
        np.testing.assert_allclose(
            1000 * metres(rgb, noisy.copy()), millimetres(rgb, 1000 * noisy), rtol=1e-4)
    constant = SteadyDepth()
    for _ in range(5):
        np.testing.assert_allclose(constant(rgb, depth.copy()), depth, rtol=1e-5)


@pytest.mark.parametrize("hole", [0.0, np.nan, np.inf, -1.0])
def test_an_answer_with_holes_passes_as_it_is(hole):
    steady, (rgb, depth) = SteadyDepth(), square(100)
    steady(rgb, depth.copy())
    broken = depth.copy()
    broken[:40] = hole
    np.testing.assert_array_equal(steady(rgb, broken.copy()), broken)
    np.testing.assert_array_equal(steady(rgb, depth.copy()), depth)  # it begins again


@pytest.mark.parametrize("size", [(48, 64), (97, 131), (1000, 500)])
def test_any_size_of_map_is_filtered(size):
    steady, random = SteadyDepth(), np.random.default_rng(0)
    for _ in range(3):
        depth = random.uniform(1, 2, size).astype(np.float32)
        answer = steady(np.zeros((*size, 3), np.uint8), depth)
        assert answer.shape == size and np.isfinite(answer).all()


def test_it_costs_less_than_half_of_the_network(network):
    """Processor time, which other programs disturb less; a third on an idle machine."""
    random, steady, taken = np.random.default_rng(0), SteadyDepth(), []
    noisy = [np.clip(sample_picture() + random.normal(0, NOISE, (480, 640, 3)), 0, 255).astype(
        np.uint8) for _ in range(5)]
    for index in range(60):
        begin = time.thread_time()
        answer = network(noisy[index % 5])
        answered = time.thread_time()
        steady(noisy[index % 5], answer)
        taken.append((answered - begin, time.thread_time() - answered))
    asked, filtered = np.percentile(taken, 20, axis=0)
    assert filtered < 0.5 * asked


def test_a_network_can_be_wrapped(network):
    wrapped = SteadyNetwork(network)
    assert wrapped.input_size == network.input_size
    np.testing.assert_array_equal(wrapped(sample_picture()), network(sample_picture()))
