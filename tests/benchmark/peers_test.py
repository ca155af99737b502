"""The peers: published sizes and structures, the contract, and the files that a run writes."""

import collections
import functools
import hashlib
import importlib
import json

import keras
import numpy as np
import pytest

from benchmark.peers import files as peer_files
from benchmark.peers import networks as peer_networks
from benchmark.peers.files import PEERS
from mai_depth.network.macs import count_macs
from mai_depth.network.student import build_student
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import delegate_partitions
from mai_depth.tflite.graph import open_interpreter

SMALLEST = "litedepth"
NEAREST = "RESIZE_NEAREST_NEIGHBOR"

# Operators of the converted files. MiDaS: the five bilinear resizes and all other counts are those
# of the LiteRT file that litert-community publishes (MiDaS-small); two more reach 480x640.
OPERATORS = {
    "midas_v21_small": {"CONV_2D": 73, "DEPTHWISE_CONV_2D": 24, "ADD": 27, "RELU": 7,
                        "RESIZE_BILINEAR": 7},
    "fastdepth": {"CONV_2D": 20, "DEPTHWISE_CONV_2D": 18, "ADD": 3, NEAREST: 5,
                  "RESIZE_BILINEAR": 2},
    "litedepth": {"CONV_2D": 27, "DEPTHWISE_CONV_2D": 11, "ADD": 6, "CONCATENATION": 3,
                  "RESIZE_BILINEAR": 4, NEAREST: 1},
    "mai2021_baseline_unet": {"CONV_2D": 19, "TRANSPOSE_CONV": 4, "MAX_POOL_2D": 4,
                              "CONCATENATION": 4, "RESIZE_BILINEAR": 2},
}


@functools.cache
def built(name):
    return PEERS[name].build()


@pytest.fixture(scope="module")
def written(run_peers, tmp_path_factory):
    """A folder with the smallest peer, written by the command."""
    folder = tmp_path_factory.mktemp("peers") / "new"
    done = run_peers(f"--output={folder}", f"--peers={SMALLEST}")
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stdout
    assert "26.7M MACs (published 26.7M)" in done.stdout
    return folder


@pytest.fixture(scope="module")
def run_peers(commands):
    return lambda *arguments: commands("-m", "benchmark.peers", *arguments)


def error_of(done):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("name", PEERS)
def test_contract_of_inputs_and_outputs(name):
    model = built(name)
    (image,) = model.inputs
    (depth,) = model.outputs
    assert image.name == "image"
    assert model.layers[-1].name == "depth_m"
    assert tuple(image.shape) == (None, 480, 640, 3)
    assert tuple(depth.shape) == (None, 480, 640, 1)


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.published_macs])
def test_macs_are_the_published_ones(name):
    assert count_macs(built(name)) == pytest.approx(PEERS[name].published_macs, rel=0.1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("midas_v21_small", 16.6e6),  # 33 MB in float16
        ("mai2021_baseline_unet", 31.0e6),  # U-Net of 64 base channels (Ronneberger et al.)
        ("fastdepth", 1.34e6),  # Wofk et al., after pruning
        ("litedepth", 1.4 * 2**20 / 4),  # Li et al.: 1.4 MB of float32
    ],
)
def test_parameters_are_the_published_ones(name, parameters):
    assert built(name).count_params() == pytest.approx(parameters, rel=0.1)


def test_the_papers_graph_is_the_students_core_with_plain_resizes():
    paper, student = built("paper_90m"), build_student("student_90m")
    assert paper.get_layer("view").output.shape[1:] == (128, 160, 3)
    assert paper.get_layer("view").interpolation == "bilinear"
    assert paper.get_layer("depth_m").interpolation == "nearest"
    assert count_macs(paper) == count_macs(student)
    assert [w.shape for w in paper.weights] == [w.shape for w in student.weights]


def test_weights_are_the_same_in_every_process():
    """Loading the module again is what a new process does."""
    weights = []
    for seed_before in (1, 2):
        keras.utils.set_random_seed(seed_before)
        networks = importlib.reload(peer_networks)
        keras.utils.set_random_seed(0)
        weights.append(networks.litedepth().get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_written_file_runs_and_tells_its_facts(written):
    facts = json.loads((written / f"{SMALLEST}.json").read_text())
    assert facts["name"] == SMALLEST
    assert facts["weights"] == "random weights: for latency only"
    assert facts["published_macs"] == PEERS[SMALLEST].published_macs
    data = (written / f"{SMALLEST}.tflite").read_bytes()
    assert facts["size_bytes"] == len(data)
    assert facts["sha256"] == hashlib.sha256(data).hexdigest()
    assert {path.name for path in written.iterdir()} == {f"{SMALLEST}.tflite", f"{SMALLEST}.json"}
    check_file(written / f"{SMALLEST}.tflite", facts)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PEERS if name != SMALLEST])
def test_every_file_runs(name, tmp_path):
    facts = peer_files.write_peer(name, tmp_path)
    check_file(tmp_path / f"{name}.tflite", facts)


def check_file(path, facts):
    """Size, structure and output of a peer's file, and that no weight was lost on the way."""
    file = TfliteFile(path)
    operators = collections.Counter(op.name for op in file.ops())
    if path.stem in OPERATORS:
        assert operators == OPERATORS[path.stem]
    if path.stem.startswith("paper_"):
        assert operators[NEAREST] == 1 and file.ops()[-1].name == NEAREST
    assert not any(op.custom for op in file.ops())
    assert file.macs() == facts["macs"]
    assert file.parameters() == pytest.approx(facts["parameters"], rel=0.1)
    interpreter = open_interpreter(path)
    assert set(delegate_partitions(interpreter)[1]) <= {NEAREST}
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature == {"inputs": ["image"], "outputs": ["depth_m"]}
    (image,), (depth,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["dtype"] == depth["dtype"] == np.float32
    assert tuple(image["shape_signature"]) == (1, 480, 640, 3)
    assert tuple(depth["shape_signature"]) == (1, 480, 640, 1)
    check_output(interpreter, image["index"], depth["index"])


def check_output(interpreter, image, depth):
    """Finite, not constant, and of a size at which no number is denormal."""
    picture = np.random.default_rng(0).uniform(0, 255, (1, 480, 640, 3)).astype(np.float32)
    interpreter.set_tensor(image, picture)
    interpreter.invoke()
    output = interpreter.get_tensor(depth)
    assert np.isfinite(output).all()
    assert 0.01 < np.ptp(output) < 1e4


def test_an_existing_file_is_kept_without_overwrite(run_peers, written):
    path = written / f"{SMALLEST}.tflite"
    before = path.stat().st_mtime_ns
    message = error_of(run_peers(f"--output={written}", f"--peers={SMALLEST}"))
    assert str(path) in message and "--overwrite" in message
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--output"),
        (["--output={folder}", "--peers=fastdeph"], "--peers=fastdeph"),
        (["--output={folder}/file/below"], "--output="),
    ],
    ids=("no output", "unknown peer", "output below a file"),
)
def test_faults_are_one_line(run_peers, arguments, words, tmp_path):
    (tmp_path / "file").touch()
    done = run_peers(*(argument.format(folder=tmp_path) for argument in arguments))
    assert words in error_of(done)
