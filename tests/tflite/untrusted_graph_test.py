"""Graphs from strangers: what kills LiteRT is refused before LiteRT sees it."""

import copy
import functools
import hashlib
import json
import pathlib
import shutil

import flatbuffers
import numpy as np
import pytest
from benchmark_graphs import assert_one_line
from PIL import Image
from predict_command import run

from benchmark.graph import sample_picture
from mai_depth.errors import UserError
from mai_depth.network.pretrained import is_pretrained
from mai_depth.network.pretrained import pretrained_path
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.graph import open_interpreter

GOOD = pretrained_path("nyuv2_student_90m_int8")


@functools.cache
def model():
    return TfliteFile(GOOD).schema_object()


def craft(path, change):
    """Writes the shipped graph after `change(model, its subgraph)`, with a fitting checksum."""
    changed = copy.deepcopy(model())
    change(changed, changed.subgraphs[0])
    builder = flatbuffers.Builder(1 << 21)
    builder.Finish(changed.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    pathlib.Path(f"{path}.json").write_text(json.dumps({"sha256": digest}))
    return path


def quantized(graph):
    return [tensor for tensor in graph.tensors if tensor.quantization is not None
            and tensor.quantization.scale is not None and len(tensor.quantization.scale)]


def scale(value):
    def change(model, graph):
        for tensor in quantized(graph):
            tensor.quantization.scale = np.full_like(tensor.quantization.scale, value)
    return change


def zero_point(model, graph):
    for tensor in quantized(graph):
        tensor.quantization.zeroPoint = np.full_like(tensor.quantization.zeroPoint, 1 << 40)


def few_scales(model, graph):
    tensor = max(quantized(graph), key=lambda tensor: len(tensor.quantization.scale))
    tensor.quantization.scale = tensor.quantization.scale[:2]


def picture(*shape):
    def change(model, graph):
        tensor = graph.tensors[graph.inputs[0]]
        tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None
    return change


def make_constant(model, tensor):
    model.buffers.append(copy.copy(model.buffers[0]))
    model.buffers[-1].data = np.zeros(4 * int(np.prod(tensor.shape)), np.uint8)
    tensor.buffer = len(model.buffers) - 1


def constant_input(model, graph):
    make_constant(model, graph.tensors[graph.inputs[0]])


def constant_output(model, graph):
    make_constant(model, graph.tensors[graph.operators[6].outputs[0]])


def short_constant(model, graph):
    longest = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    longest.data = longest.data[:16]


def no_output(model, graph):
    graph.outputs = np.array([-1], np.int32)


def backwards(model, graph):
    graph.operators = graph.operators[::-1]


def loop(model, graph):
    first = next(op for op in graph.operators if len(op.inputs) == 3)
    first.inputs = np.array([graph.operators[-1].outputs[0], *first.inputs[1:]], np.int32)


CRAFTED = {  # most of them end LiteRT 2.x by SIGSEGV, see tests/faults.md
    "nan_scale": (scale(np.nan), "tensor 9: a scale of nan"),
    "zero_scale": (scale(0), "tensor 9: a scale of 0"),
    "infinite_scale": (scale(np.inf), "tensor 9: a scale of inf"),
    "negative_scale": (scale(-1), "tensor 9: a scale of -1"),
    "few_scales": (few_scales, "2 scales for a shape of "),
    "zero_point": (zero_point, "a zero point outside -2147483648..2147483647"),
    "no_area": (picture(1, 0, 0, 3), r"an input or output of \[1, 0, 0, 3\]; sides are 1 to 8192"),
    "long_picture": (picture(1, 60000, 64, 3), "sides are 1 to 8192"),
    "huge_picture": (picture(1, 30000, 30000, 3), "tensor 0: 11 GB"),
    "negative_side": (picture(1, -5, 7, 3), r"tensor 0: a shape of \[1, -5, 7, 3\]"),
    "constant_input": (constant_input, "an input that is a constant"),
    "constant_output": (constant_output, "is written although it is fixed"),
    "short_constant": (short_constant, "a constant of 16 bytes, its shape needs"),
    "no_output": (no_output, "an input or output out of range"),
    "backwards": (backwards, "is read before it is written"),
    "loop": (loop, "is read before it is written"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_graph_never_reaches_litert(tmp_path, name):
    change, words = CRAFTED[name]
    path = craft(tmp_path / f"{name}.tflite", change)
    for read in (TfliteFile, open_interpreter):
        with pytest.raises(UserError, match=f"{name}.tflite: a broken .tflite file .*{words}"):
            read(path)


def test_a_graph_that_was_only_packed_again_is_read(tmp_path):
    path = craft(tmp_path / "good.tflite", lambda model, graph: None)
    assert TfliteFile(path).macs() == TfliteFile(GOOD).macs()
    assert not is_pretrained(path)
    shutil.copy(GOOD, path)
    assert is_pretrained(path)


def test_a_fitting_checksum_saves_nobody_from_a_crafted_graph(tmp_path):
    Image.fromarray(sample_picture()).save(tmp_path / "photo.png")
    path = craft(tmp_path / "zero.tflite", scale(0))
    done = run("--input=photo.png", f"--model={path}", cwd=tmp_path)
    assert_one_line(done, f"{path}: a broken .tflite file (tensor 9: a scale of 0)")


# Python runs it at its start: a graph that kills LiteRT with tables that look right.
FATAL_LITERT = """
import os
import ai_edge_litert.interpreter as real

class Interpreter(real.Interpreter):
    def invoke(self):
        os.kill(os.getpid(), 11)

real.Interpreter = Interpreter
"""


def test_whatever_the_checksum_says_a_strange_graph_is_tried_in_a_child(tmp_path):
    Image.fromarray(sample_picture()).save(tmp_path / "photo.png")
    (tmp_path / "sitecustomize.py").write_text(FATAL_LITERT)
    path = craft(tmp_path / "strange.tflite", lambda model, graph: None)
    done = run("--input=photo.png", f"--model={path}", cwd=tmp_path, first=tmp_path)
    assert_one_line(done, f"{path}: native code died of SIGSEGV; the file is broken")
