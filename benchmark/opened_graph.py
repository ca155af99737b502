"""A graph while it is measured: its file, what lies beside it, its process and its row so far."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from benchmark import latency
from benchmark.options import Options
from benchmark.process import ChildProcess
from benchmark.row import Row
from benchmark.sidecar import has_random_weights
from benchmark.sidecar import read_sidecar
from mai_depth.network.pretrained import forms_of
from mai_depth.tflite.graph import TfliteFile
from mai_depth.tflite.schema import Tensor


@dataclasses.dataclass
class OpenedGraph:
    """A graph while it is measured.

    Attributes:
        path: The .tflite file.
        file: The same, read.
        sidecar: The content of the JSON file beside it.
        process: The child that runs it, see `benchmark.worker`.
        row: What is known of it; replaced when more is.
    """

    path: str
    file: TfliteFile
    sidecar: dict[str, Any]
    process: ChildProcess
    row: Row

    def block(self, handler: str, **arguments: Any) -> latency.Block:
        """What `latency.measure` takes, of a handler of its process."""
        return functools.partial(self.process.call, handler, **arguments)

    def warn(self, message: str) -> None:
        """Adds what makes the row doubtful."""
        self.row = dataclasses.replace(self.row, warnings=(*self.row.warnings, message))

    def note(self, message: str) -> None:
        """Adds what a reader must know."""
        self.row = dataclasses.replace(self.row, notes=(*self.row.notes, message))

    def fail(self, message: str) -> None:
        """Says why it cannot be measured to the end."""
        self.row = dataclasses.replace(self.row, fault=message)


def open_graph(path: str, options: Options, stack: contextlib.ExitStack) -> OpenedGraph:
    """Opens a graph in a process of its own and describes its file.

    Args:
        path: The .tflite file.
        options: What will be measured.
        stack: Ends the process.

    Returns:
        The graph; its row has no figures yet.

    Raises:
        UserError: The file or the JSON beside it is broken, or it is not a depth graph.
    """
    path = str(pathlib.Path(path).expanduser())
    file = TfliteFile(path)
    process = stack.enter_context(ChildProcess("benchmark.worker", subject=path))
    opened = process.call("open", path=path, num_threads=options.num_threads,
                          use_xnnpack=options.use_xnnpack, frame=options.end_to_end)
    graph = OpenedGraph(path, file, read_sidecar(path), process, _describe(path, file, opened))
    _check_sidecar(graph)
    if options.data_dir and tuple(opened["input_size"]) != (480, 640):
        graph.note("pictures are resized to {}x{} by Pillow (bilinear), outside the timed graph"
                   .format(*opened["input_size"]))
    if options.data_dir and tuple(opened["output_size"]) != (480, 640):
        graph.note("the map is resized to the truth's size (bilinear), outside the timed graph")
    return graph


def _describe(path: str, file: TfliteFile, opened: dict[str, Any]) -> Row:
    return Row(
        graph=path,
        dtype=file.number_format(),
        input=_size_and_type(opened["input_size"], file.inputs()),
        output=_size_and_type(opened["output_size"], file.outputs()),
        macs=file.macs(),
        flops=2 * file.macs(),
        parameters=file.parameters(),
        weight_bytes=file.weight_bytes(),
        file_bytes=file.size_bytes,
        sha256=file.sha256(),
        operators=len(file.ops()),
        partitions=opened["partitions"],
        undelegated=len(opened["undelegated"]),
        undelegated_types=" ".join(sorted(set(opened["undelegated"]))),
        notes=tuple(opened["notes"]),
    )


def _size_and_type(size: Sequence[int], tensors: Sequence[Tensor]) -> str:
    return f"{size[0]}x{size[1]} {tensors[0].dtype.lower()}"


def _check_sidecar(graph: OpenedGraph) -> None:
    expected = graph.sidecar.get("sha256")
    if expected is None and not forms_of(graph.row.sha256):
        graph.note("no checksum beside the graph: a damaged file would run with wrong numbers")
    if expected not in (None, graph.row.sha256):
        graph.warn("sha256 differs from the .json beside it: the file is damaged or was exchanged; "
                   "its figures mean nothing")
    if "note" in graph.sidecar:
        graph.note(str(graph.sidecar["note"]))
    if has_random_weights(graph.sidecar):
        graph.note("random weights: for speed only, no accuracy is measured")
