"""The devices that a training runs on, by the names of `--strategy`."""

import signal

import tensorflow as tf

from mai_depth.errors import UserError
from mai_depth.training.cluster import Cluster
from mai_depth.training.cluster import wait_for_all
from mai_depth.training.workers import Workers


def local_workers(strategy: str, synchronized: bool = True) -> Workers:
    """The devices of this machine.

    Args:
        strategy: `one` for the first device; `mirrored` for all GPUs; `auto` for all GPUs if there
            are several, else for the first device.
        synchronized: See `Workers`.

    Raises:
        UserError: `mirrored` with a single device.
    """
    if strategy == "one":
        return Workers(tf.distribute.get_strategy())
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if strategy == "mirrored" and len(devices) < 2:
        raise UserError("--strategy=mirrored: TensorFlow finds no second GPU here; leave it out, "
                        "or install the CUDA libraries: pip install 'tensorflow[and-cuda]'")
    if len(devices) < 2:
        return Workers(tf.distribute.get_strategy())
    mirrored = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Workers(mirrored, synchronized=synchronized)


def join_workers(cluster: Cluster, start_timeout_s: int, synchronized: bool = True) -> Workers:
    """Joins the other processes of a cluster; call it before TensorFlow computes anything.

    Args:
        cluster: From `read_cluster`.
        start_timeout_s: Seconds to wait for them.
        synchronized: See `Workers`.

    Raises:
        UserError: One did not start in time.
    """
    wait_for_all(cluster, start_timeout_s)
    # All were there a moment ago. If one is lost just now, TensorFlow waits forever without
    # running Python's signal handlers: then the kernel ends this process.
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(start_timeout_s)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    return Workers(strategy, cluster.is_chief, len(cluster.tasks), synchronized)
