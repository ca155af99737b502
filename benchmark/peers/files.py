"""What each peer is, and how it becomes a `.tflite` file with its facts beside it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import keras

from benchmark.peers import networks as peer_networks
from mai_depth.atomic import write_bytes_atomic
from mai_depth.atomic import write_json_atomic
from mai_depth.errors import UserError
from mai_depth.network.converter import to_tflite
from mai_depth.network.macs import count_macs
from mai_depth.tflite.editor import Editor
from mai_depth.tflite.graph import TfliteFile

WEIGHTS = "random weights: for latency only"

_PAPER = ('Zhang et al., "A Simple Baseline for Fast and Accurate Depth Estimation on Mobile '
          'Devices", CVPR 2021 workshops')


@dataclasses.dataclass(frozen=True)
class Peer:
    """A published network.

    Attributes:
        build: Builds the Keras model.
        source: The publication or repository whose structure it has.
        published_macs: Multiply-accumulates as published, None where none are.
    """

    build: Callable[[], keras.Model]
    source: str
    published_macs: int | None = None


def _paper(preset: str, published_macs: int) -> Peer:
    return Peer(functools.partial(peer_networks.paper, preset), _PAPER, published_macs)


PEERS = {
    "paper_28m": _paper("student_28m", 27_700_000),
    "paper_49m": _paper("student_49m", 48_800_000),
    "paper_90m": _paper("student_90m", 90_000_000),
    "paper_189m": _paper("student_189m", 189_000_000),
    "mai2021_baseline_unet": Peer(
        peer_networks.mai2021_baseline_unet,
        "github.com/aiff22/MAI-2021-Workshop, depth_estimation/model.py: the organisers' baseline",
    ),
    "fastdepth": Peer(
        peer_networks.fastdepth,
        "Wofk et al., ICRA 2019, the pruned MobileNet-NNConv5; channels from github.com/dwofk/"
        "fast-depth, tvm_compile/tuning/tx2-cpu.mobilenet-nnconv5dw-skipadd-pruned",
        370_000_000,
    ),
    "litedepth": Peer(
        peer_networks.litedepth,
        "Li et al., ECCV 2022 workshops; github.com/zhyever/LiteDepth, configs_baseline, MACs "
        "of its code",
        26_700_000,
    ),
    "keras_io_unet": Peer(
        peer_networks.keras_io_unet,
        "keras.io/examples/vision/depth_estimation",
    ),
    "midas_v21_small": Peer(
        peer_networks.midas_v21_small,
        "Ranftl et al., TPAMI 2022; github.com/isl-org/MiDaS, midas/midas_net_custom.py",
    ),
}


def write_peer(name: str, folder: pathlib.Path) -> dict:
    """Builds a peer and writes `NAME.tflite` and `NAME.json`, each atomically.

    Args:
        name: A key of `PEERS`.
        folder: An existing folder.

    Returns:
        What `NAME.json` holds: `name`, `source`, `weights`, `macs`, `published_macs`,
        `parameters`, `size_bytes` and `sha256`, by which the benchmark knows a damaged file.

    Raises:
        UserError: The folder cannot be written.
    """
    peer = PEERS[name]
    keras.utils.set_random_seed(0)
    model = peer.build()
    final = folder / f"{name}.tflite"
    try:
        write_bytes_atomic(final, convert(model))
        facts = {
            "name": name,
            "source": peer.source,
            "weights": WEIGHTS,
            "macs": count_macs(model),
            "published_macs": peer.published_macs,
            "parameters": model.count_params(),
            "size_bytes": final.stat().st_size,
            "sha256": TfliteFile(final).sha256(),
        }
        write_json_atomic(folder / f"{name}.json", facts)
    except OSError as error:
        raise UserError(f"--output={folder}: cannot be written ({error.strerror}); free some "
                        "space or give another folder") from error
    return facts


def convert(model: keras.Model) -> bytes:
    """Converts a model for one picture, float32, with LiteRT's built-in operators alone.

    Args:
        model: From `image` [batch, 480, 640, 3] to `depth_m` [batch, 480, 640, 1].

    Returns:
        The `.tflite` file, whose input and output have these names.
    """
    editor = Editor(to_tflite(model))
    editor.name("image", "depth_m")
    return editor.data()
