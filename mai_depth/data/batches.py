"""From decoded pairs of picture and depth to training batches.

Every batch is a pure function of (seed, epoch, index): a run resumed at epoch k sees exactly what
an uninterrupted one would have seen.
"""

import contextlib
import re
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mai_depth.data.augment import augment
from mai_depth.data.augmentation import Augmentation
from mai_depth.data.mixture import Mixture
from mai_depth.data.pairs import Pairs
from mai_depth.data.pairs import is_packed
from mai_depth.data.reading import read_ahead
from mai_depth.data.teacher_views import TeacherViews
from mai_depth.errors import UserError

_VIEWS = -2  # for `_fold`: no folder of a mixture has this number


def epoch_order(count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Shuffles 0 .. count - 1 for one epoch; the same arguments give the same order.

    Args:
        count: Number of pairs.
        seed: The run's seed.
        epoch: Counted from 0.

    Returns:
        int32 [count], a permutation.
    """
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)


def drawn(pairs: Pairs, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Draws the pictures of one epoch in order; the same arguments give the same order.

    Each folder of a mixture contributes its count: it is read in one shuffled order after another,
    and each epoch continues where the last one stopped.

    Args:
        pairs: The pairs to draw from.
        seed: The run's seed.
        epoch: Counted from 0.

    Returns:
        int32 [pairs.epoch_size], numbers of pairs.
    """
    if not isinstance(pairs, Mixture):
        return epoch_order(len(pairs), seed, epoch)
    chosen, start = [], 0
    for number, (folder, count) in enumerate(zip(pairs.parts, pairs.counts, strict=True)):
        chosen.append(start + _next_of_folder(len(folder), count, _fold(seed, number + 1), epoch))
        start += len(folder)
    order = epoch_order(pairs.epoch_size, _fold(seed, 0), epoch)
    return tf.gather(tf.concat(chosen, axis=0), order)


def _next_of_folder(size: int, count: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """The next `count` of a folder's shuffled orders, from `epoch * count` on: int32 [count]."""
    begin = tf.cast(epoch, tf.int64) * count
    first = begin // size
    orders = [epoch_order(size, seed, first + k) for k in range(-(-count // size) + 1)]
    return tf.concat(orders, axis=0)[begin % size:][:count]


def _fold(seed: int, number: int) -> int:
    """A seed for a folder that no other `--seed` (they are below 2^32) gives to any folder."""
    return seed + (number + 1) * 2**32


def training_batches(
    pairs: Pairs,
    *,
    view_size: tuple[int, int],
    depth_size: tuple[int, int],
    batch_size: int,
    seed: int,
    first_epoch: int,
    epochs: int,
    augmentation: Augmentation,
    teacher_view_size: tuple[int, int] | None = None,
    teacher_views: TeacherViews | None = None,
    replicas: range = range(1),
    all_replicas: int = 1,
    workers: int | None = None,
) -> tf.data.Dataset:
    """Makes the augmented batches of epochs `first_epoch` .. `epochs - 1`, in order.

    Args:
        pairs: The training pairs.
        view_size: Height and width of the picture, the output of the model's `view` layer.
        depth_size: Height and width of the depth.
        batch_size: Pairs in a batch; an epoch has `pairs.epoch_size // batch_size` batches.
        seed: The run's seed; with epoch and index it decides order and augmentation.
        first_epoch: The epoch to start with, counted from 0.
        epochs: The epoch to stop before.
        augmentation: What to vary.
        teacher_view_size: Height and width at which a teacher sees the same augmented pictures.
        teacher_views: Views of the same pairs, to use instead of drawn crops and flips; a batch
            then has the teacher's answers to exactly these views.
        replicas: The devices whose parts of each batch are wanted.
        all_replicas: Number of devices that share each batch; a part has
            `batch_size // all_replicas` pairs and is yielded as a batch of its own.
        workers: Processes that decode a packed folder, see `reading.read_ahead`; the batches do not
            depend on it.

    Returns:
        A dataset of dicts: `image` float32 [B, *view_size, 3], RGB 0..255; `depth` float32
        [B, *depth_size, 1] in metres, 0 = missing, not cut at any maximum; with `teacher_views`
        `teacher_depth` float32 [B, h, w, 1] in metres; with `teacher_view_size` `teacher_image`
        float32 [B, *teacher_view_size, 3]; of a mixture `labels` int32 [B], see `mixture.Labels`.

    Raises:
        UserError: There are fewer pairs than `batch_size`. A picture that cannot be read later is
            an error of TensorFlow, see `faults_of_reading`.
    """
    steps = _steps_per_epoch(pairs.epoch_size, batch_size)
    part_size = batch_size // all_replicas

    def make(epoch, index, *rows):
        rgb, depth = rows or _gather([pairs.rgb, pairs.depth], index, part_size)
        seeds = _sample_seeds(seed, epoch, index)
        crops = answers = None
        if teacher_views is not None:
            crops, answers = _read_views(teacher_views, seed, epoch, index, part_size)
        image, (depth,) = augment(
            rgb, [depth], seeds, augmentation, view_size, depth_size, crops)
        batch = {"image": image, "depth": depth / tf.constant(pairs.units_per_m, tf.float32)}
        _tell_cameras_apart(batch, pairs, index)
        if answers is not None:
            batch["teacher_depth"] = tf.cast(answers, tf.float32) / pairs.units_per_m
        if teacher_view_size is not None:
            batch["teacher_image"], _ = augment(
                rgb, [], seeds, augmentation, teacher_view_size, depth_size)
        return batch

    dataset = _batches_of_indices(
        pairs, steps, batch_size, seed, first_epoch, epochs, replicas, all_replicas)
    total = max(0, epochs - first_epoch) * steps * len(replicas)
    if is_packed(pairs.rgb):
        dataset = _with_rows(dataset, total, [pairs.rgb, pairs.depth], part_size, workers)
    dataset = dataset.map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.apply(tf.data.experimental.assert_cardinality(total)).prefetch(2)


def _tell_cameras_apart(batch: dict[str, tf.Tensor], pairs: Pairs, index: tf.Tensor) -> None:
    """Scales the depth of a mixture's folders to one camera, and adds the kind of each."""
    if pairs.scale is not None:  # a teacher's answers are in the network's own metres already
        batch["depth"] *= tf.gather(tf.constant(pairs.scale), index)[:, None, None, None]
    if isinstance(pairs, Mixture):
        batch["labels"] = tf.gather(tf.constant(pairs.labels, tf.int32), index)


@contextlib.contextmanager
def faults_of_reading() -> Iterator[None]:
    """Restores a `UserError` that was raised in a batch and wrapped by TensorFlow.

    Raises:
        UserError: A picture could not be read while batches were made.
    """
    try:
        yield
    except tf.errors.UnknownError as error:
        found = re.search(rf"\b{UserError.__name__}: (.*)", error.message)
        if not found:
            raise
        raise UserError(found[1]) from error


def _steps_per_epoch(count: int, batch_size: int) -> int:
    steps = count // batch_size if batch_size > 0 else 0
    if not steps:
        raise UserError(f"--batch_size={batch_size}: there are {count} training pairs; choose "
                        f"from 1 to {count}")
    return steps


def _batches_of_indices(
    pairs: Pairs, steps: int, batch_size: int, seed: int, first_epoch: int, epochs: int,
    replicas: range, all_replicas: int,
) -> tf.data.Dataset:
    """The epoch and the indices [B] of every batch or its parts, in the order of `drawn`."""
    def batches_of(epoch):
        order = drawn(pairs, seed, epoch)[: steps * batch_size]
        parts = tf.reshape(order, [steps, all_replicas, batch_size // all_replicas])
        chosen = parts[:, replicas.start : replicas.stop]
        indices = tf.data.Dataset.from_tensor_slices(
            tf.reshape(chosen, [-1, batch_size // all_replicas]))
        return indices.map(lambda index: (epoch, index))

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(batches_of)


def _with_rows(
    dataset: tf.data.Dataset, count: int, arrays: Sequence, batch_size: int, workers: int | None
) -> tf.data.Dataset:
    """Adds to each batch (epoch, indices) the rows of the arrays, as `_gather` does, read ahead."""
    def read():
        indices = (index for _, index in dataset.as_numpy_iterator())
        yield from map(tuple, read_ahead(indices, count, arrays, workers))

    signature = tuple(
        tf.TensorSpec([batch_size, *array.shape[1:]], array.dtype) for array in arrays)
    rows = tf.data.Dataset.from_generator(read, output_signature=signature).map(
        lambda *rows: tuple(tf.reshape(row, [batch_size, *array.shape[1:3], -1])
                            for row, array in zip(rows, arrays, strict=True)))
    return tf.data.Dataset.zip(dataset, rows).map(lambda batch, rows: (*batch, *rows))


def _gather(arrays: Sequence, index: tf.Tensor, batch_size: int) -> list[tf.Tensor]:
    """Reads rows `index` [B] of the stored arrays: [B, height, width, channels] each."""
    types = [array.dtype for array in arrays]
    rows = tf.numpy_function(
        lambda index: [np.ascontiguousarray(array[index]) for array in arrays], [index], types
    )
    for position, (row, array) in enumerate(zip(rows, arrays, strict=True)):
        row.set_shape([batch_size, *array.shape[1:]])
        rows[position] = tf.reshape(row, [batch_size, *array.shape[1:3], -1])
    return rows


def _read_views(
    views: TeacherViews, seed: int, epoch: tf.Tensor, index: tf.Tensor, batch_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The view of each picture `index` [B] in an epoch: its crops [B, 5], answers [B, h, w, 1].

    A picture goes through its views in turn, from a random one on, so that none is left out.
    """
    count, number = views.crops.shape[:2]
    first = tf.random.stateless_uniform([count], [_fold(seed, _VIEWS), 0], maxval=number,
                                        dtype=tf.int32)
    rows = index * number + (tf.gather(first, index) + tf.cast(epoch, tf.int32)) % number
    crops = tf.gather(tf.constant(views.crops.reshape(-1, views.crops.shape[-1])), rows)
    (answers,) = _gather([views.depth], rows, batch_size)
    return crops, answers


def _sample_seeds(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Gives each sample its own seed, int32 [B, 2], whatever batch it is in."""
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    of_epoch = tf.random.stateless_uniform([], seeds, minval=None, maxval=None, dtype=tf.int32)
    return tf.stack([tf.fill(tf.shape(index), of_epoch), index], axis=1)
