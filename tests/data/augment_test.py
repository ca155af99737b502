"""The augmentation against Keras' own resize, NumPy's flip and pictures that encode their depth."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mai_depth.data.augment import _Crop
from mai_depth.data.augment import _rolled_view
from mai_depth.data.augment import augment
from mai_depth.data.augmentation import OFF
from mai_depth.data.augmentation import Augmentation

VIEW = (256, 320)
DEPTH = (128, 160)


@pytest.fixture(scope="module")
def pictures():
    """Noise, the hardest picture to resize alike: uint8 [8, 480, 640, 3]."""
    return np.random.default_rng(0).integers(0, 256, (8, 480, 640, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def depths():
    """uint16 [8, 480, 640, 1] of 0 and multiples of 500: a value in between is made up."""
    steps = np.random.default_rng(1).integers(0, 20, (8, 480, 640, 1))
    return (steps * 500).astype(np.uint16)


def seeds(count, first=0):
    return tf.stack([tf.range(first, first + count), tf.zeros([count], tf.int32)], axis=1)


def ramps(count):
    """Pictures whose red is the column and whose green is the row, and both as depth."""
    columns = np.broadcast_to(np.arange(640), (count, 480, 640))
    rows = np.broadcast_to(np.arange(480)[:, None], (count, 480, 640))
    rgb = np.stack([columns * 255 // 639, rows * 255 // 479, 0 * rows], -1).astype(np.uint8)
    return rgb, [(1000 + part[..., None]).astype(np.uint16) for part in (columns, rows)]


@pytest.mark.parametrize("size", [(256, 320), (128, 160), (160, 160), (480, 640), (512, 512)])
def test_with_everything_off_the_view_is_the_graphs_own_resize(pictures, size):
    image, _ = augment(pictures, [], seeds(8), OFF, size, DEPTH)
    expected = keras.layers.Resizing(*size, interpolation="bilinear")(pictures.astype("float32"))
    assert image.shape == (8, *size, 3)
    # 0.03 grey levels: the op computes its positions in float32, on noise of full contrast.
    assert np.abs(image - expected).max() < 0.03


def test_with_everything_off_depth_is_a_value_of_the_file(depths):
    black = np.zeros((8, 480, 640, 3), np.uint8)
    _, (depth,) = augment(black, [depths], seeds(8), OFF, VIEW, DEPTH)
    rows = np.floor((np.arange(128) + 0.5) * 480 / 128).astype(int)
    columns = np.floor((np.arange(160) + 0.5) * 640 / 160).astype(int)
    # 640 / 160 = 4: each column is read half way between two pixels, where the first one counts.
    assert np.array_equal(depth, depths[:, rows][:, :, columns - 1])
    assert depth.dtype == tf.float32


def test_depth_at_its_own_size_is_untouched(depths):
    _, (depth,) = augment(
        np.zeros((8, 480, 640, 3), np.uint8), [depths], seeds(8), OFF, VIEW, (480, 640))
    assert np.array_equal(depth, depths)


@pytest.mark.parametrize("depth_size", [(128, 160), (240, 320), (256, 320), (480, 640)])
def test_a_flip_is_numpys_flip(pictures, depths, depth_size):
    flipping = Augmentation(flip=True, brightness=0, gamma=0, color=0)
    image, (depth,) = augment(pictures, [depths], seeds(8), flipping, VIEW, depth_size)
    plain, (plain_depth,) = augment(pictures, [depths], seeds(8), OFF, VIEW, depth_size)
    flipped = 0
    for index in range(8):
        mirrored = np.array_equal(depth[index], plain_depth[index][:, ::-1])
        assert mirrored or np.array_equal(depth[index], plain_depth[index])
        expected = plain[index][:, ::-1] if mirrored else plain[index]
        assert np.abs(image[index] - expected).max() < 0.03
        flipped += mirrored
    assert 0 < flipped < 8


def test_a_crop_multiplies_depth_by_its_fraction_and_never_interpolates(pictures, depths):
    constant = np.full_like(depths, 1000)
    cropping = Augmentation(min_crop=0.5)
    _, (depth, known) = augment(pictures, [depths, constant], seeds(8), cropping, VIEW, DEPTH)
    fraction = known[:, :1, :1] / 1000
    assert np.all((fraction >= 0.5) & (fraction <= 1)) and np.ptp(fraction) > 0.1
    assert np.array_equal(known, np.broadcast_to(fraction * 1000, known.shape))
    source = depth / fraction / 500
    assert np.abs(source - np.rint(source)).max() < 1e-4
    assert set(np.unique(np.rint(source))) <= set(range(20))


@pytest.mark.parametrize("view", [(128, 160), (480, 640)])
def test_picture_and_depth_stay_paired(view):
    rgb, (columns, rows) = ramps(16)
    varied = Augmentation(flip=True, brightness=0, gamma=0, color=0, min_crop=0.4)
    constant = np.full_like(rows, 1000)
    image, (column, row, known) = augment(
        rgb, [columns, rows, constant], seeds(16), varied, view, view)
    fraction = known / 1000
    column, row = column / fraction - 1000, row / fraction - 1000
    # Half a pixel of rounding to the nearest, one grey level of rounding in the picture.
    assert np.abs(image[..., 0] - column[..., 0] * 255 / 639).max() < 1.5
    assert np.abs(image[..., 1] - row[..., 0] * 255 / 479).max() < 1.5
    for index in range(16):
        width = np.ptp(column[index]) + 1
        assert width == pytest.approx(640 * float(fraction[index, 0, 0, 0]), abs=6)
        assert np.ptp(row[index]) + 1 == pytest.approx(0.75 * width, abs=6)


def test_picture_and_depth_are_rolled_alike():
    rgb, (columns, rows) = ramps(16)
    varied = Augmentation(brightness=0, gamma=0, color=0, min_crop=0.4, max_roll_deg=10)
    image, (column, row, known) = augment(
        rgb, [columns, rows, np.full_like(rows, 1000)], seeds(16), varied, (128, 160), (128, 160))
    valid = known[..., 0] > 0
    assert 0.9 < valid.numpy().mean() < 1
    for channel, (depth, side) in enumerate(((column, 640), (row, 480))):
        place = 1000 * depth[..., 0] / known[..., 0] - 1000
        difference = np.abs(image[..., channel] - place * 255 / (side - 1))
        assert difference[valid].max() < 1.5

def test_a_rolled_camera_turns_the_picture_about_its_middle():
    """By hand: 30 degrees clockwise, where column 320 + 0.866 x - 0.5 y comes to (x, y)."""
    rgb, depths = ramps(1)
    rolled = _Crop(*(tf.constant([value]) for value in (0.0, 0.0, 1.0, False, math.pi / 6)))
    columns = _rolled_view(depths[0], rolled, (480, 640), "nearest")[0, ..., 0] - 1000
    x, y = np.arange(640) - 319.5, np.arange(480)[:, None] - 239.5
    expected = 319.5 + math.cos(math.pi / 6) * x - 0.5 * y
    row = 239.5 + 0.5 * x + math.cos(math.pi / 6) * y
    inside = (expected > 0) & (expected < 639) & (row > 0) & (row < 479)
    assert inside.mean() > 0.6
    assert np.abs(columns - expected)[inside].max() < 0.51
    assert (columns[~inside] < 0).numpy().mean() > 0.98  # -1000: no depth; some lie on the edge
    red = _rolled_view(tf.constant(rgb), rolled, (480, 640), "bilinear")[0, ..., 0]
    assert np.abs(red - expected * 255 / 639)[inside].max() < 1.01
    assert red.numpy().min() >= 0 and red.numpy()[~inside].mean() > 20  # mirrored, not black


def test_a_camera_that_is_hardly_rolled_sees_the_same(pictures, depths):
    for size in ((128, 160), (480, 640)):
        expected = augment(pictures, [depths], seeds(8), Augmentation(min_crop=0.6), size, DEPTH)
        found = augment(pictures, [depths], seeds(8), Augmentation(
            min_crop=0.6, max_roll_deg=1e-7), size, DEPTH)
        assert np.quantile(np.abs(found[0] - expected[0]), 0.97) < 0.1  # but for the edges
        assert (found[1][0] == expected[1][0]).numpy().mean() > 0.99


def test_crops_reach_every_edge():
    rgb, (columns, rows) = ramps(64)
    varied = Augmentation(flip=False, brightness=0, gamma=0, color=0, min_crop=0.6)
    _, (column, row, known) = augment(
        rgb, [columns, rows, np.full_like(rows, 1000)], seeds(64), varied, (8, 8), (480, 640))
    column, row = column / known - 1, row / known - 1
    assert column.numpy().min() < 0.005 and column.numpy().max() > 0.634
    assert row.numpy().min() < 0.005 and row.numpy().max() > 0.474
    # A crop is as likely to lean to one side as to the other.
    left = column[:, :, 0].numpy().mean() * 1000
    right = 639 - column[:, :, -1].numpy().mean() * 1000
    assert left > 20 and right > 20


def test_brightness_multiplies_and_clips():
    gray = np.full((32, 480, 640, 3), 230, np.uint8)
    only = Augmentation(flip=False, brightness=0.2, gamma=0, color=0)
    image = augment(gray, [], seeds(32), only, (8, 8), DEPTH)[0].numpy()
    factor = image[:, 0, 0, 0] / 230
    assert np.allclose(image, image[:, :1, :1, :1])
    assert factor.min() >= 0.8 - 1e-6 and image.max() == 255
    assert factor.min() < 0.9


def test_gamma_is_a_power_that_keeps_black_and_white():
    gray = np.zeros((32, 480, 640, 3), np.uint8)
    gray[:, :, 200:400] = 64
    gray[:, :, 400:] = 255
    only = Augmentation(flip=False, brightness=0, gamma=0.2, color=0)
    image = augment(gray, [], seeds(32), only, (6, 16), DEPTH)[0].numpy()
    assert np.all(image[:, :, 0] == 0)
    assert np.allclose(image[:, :, -1], 255, atol=1e-3)
    exponent = np.log(image[:, 0, 7, 0] / 255) / np.log(64 / 255)
    assert exponent.min() >= 1 / 1.2 - 1e-4 and exponent.max() <= 1.2 + 1e-4
    assert exponent.min() < 0.95 and exponent.max() > 1.05


def test_color_has_a_factor_for_each_channel():
    gray = np.full((32, 480, 640, 3), 100, np.uint8)
    only = Augmentation(flip=False, brightness=0, gamma=0, color=0.1)
    factor = augment(gray, [], seeds(32), only, (8, 8), DEPTH)[0].numpy()[:, 0, 0] / 100
    assert factor.min() >= 0.9 - 1e-6 and factor.max() <= 1.1 + 1e-6
    assert np.ptp(factor, axis=1).max() > 0.05


def test_sharpness_blurs_or_sharpens_each_picture():
    edge = np.zeros((32, 480, 640, 3), np.uint8)
    edge[:, :, :320], edge[:, :, 320:] = 60, 180
    only = Augmentation(flip=False, brightness=0, gamma=0, color=0, sharpness=1)
    image = augment(edge, [], seeds(32), only, (96, 128), DEPTH)[0].numpy()
    # Of a step of 120 five pixels of weights 1, 4, 6, 4, 1 leave 5/16 on the wrong side.
    amount = (60 - image[:, 0, 63, 0]) / (120 * 5 / 16)
    assert np.allclose(image[:, :, 64], 180 + amount[:, None, None] * 120 * 5 / 16, atol=1e-3)
    assert amount.min() < -0.8 and amount.max() > 0.8 and np.abs(amount).max() <= 1
    assert np.array_equal(image[:, :, :60], np.full((32, 96, 60, 3), 60))
    assert np.array_equal(image, np.broadcast_to(image[:, :1], image.shape))


def test_a_sharpened_picture_stays_within_0_and_255(pictures):
    sharpened = Augmentation(sharpness=1)
    image, _ = augment(pictures, [], seeds(8), sharpened, VIEW, DEPTH)
    assert np.isfinite(image).all() and np.min(image) >= 0 and np.max(image) <= 255


def test_sharpness_leaves_crop_flip_and_color_as_they_are():
    gray = np.full((8, 480, 640, 3), 100, np.uint8)
    rgb, _ = ramps(8)
    views = []
    for sharpness in (0, 1):
        varied = Augmentation(min_crop=0.6, sharpness=sharpness)
        views.append([augment(of, [], seeds(8), varied, VIEW, DEPTH)[0].numpy()
                      for of in (gray, rgb)])
    (gray, ramp), (sharpened_gray, sharpened_ramp) = views
    assert np.allclose(gray, sharpened_gray, atol=1e-3)
    # A ramp has no edges to blur but those of the picture.
    assert np.abs(ramp - sharpened_ramp)[:, 4:-4, 4:-4].max() < 1.5


def test_a_sample_depends_on_its_own_seed_alone(pictures, depths):
    varied = Augmentation(min_crop=0.6)
    image, (depth,) = augment(pictures, [depths], seeds(8), varied, VIEW, DEPTH)
    for index in (0, 5):
        one = slice(index, index + 1)
        alone, (alone_depth,) = augment(
            pictures[one], [depths[one]], seeds(1, index), varied, VIEW, DEPTH)
        assert np.abs(alone[0] - image[index]).max() < 1e-3
        assert np.array_equal(alone_depth[0], depth[index])
    other, _ = augment(pictures, [depths], seeds(8, 100), varied, VIEW, DEPTH)
    assert np.abs(other - image).mean() > 1


def test_turning_one_augmentation_off_leaves_the_others_as_they_are(pictures, depths):
    full, (depth,) = augment(pictures, [depths], seeds(8), Augmentation(min_crop=0.6), VIEW, DEPTH)
    plain, (same_depth,) = augment(
        pictures, [depths], seeds(8), Augmentation(gamma=0, color=0, min_crop=0.6), VIEW, DEPTH)
    assert np.array_equal(depth, same_depth)
    assert np.abs(full - plain).mean() > 0.1


def test_tf_data_gives_what_eager_gives(pictures, depths):
    varied = Augmentation(min_crop=0.6)
    image, (depth,) = augment(pictures, [depths], seeds(8), varied, VIEW, DEPTH)
    dataset = tf.data.Dataset.from_tensors((pictures, depths, seeds(8))).map(
        lambda rgb, units, seed: augment(rgb, [units], seed, varied, VIEW, DEPTH))
    (graph_image, (graph_depth,)), = list(dataset)
    # The graph rounds the crop's position differently: 1e-4 of a pixel, on noise.
    assert np.abs(graph_image - image).max() < 0.05
    assert np.array_equal(graph_depth, depth)
