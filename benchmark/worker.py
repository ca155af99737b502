"""The child process of one graph: opens it, and runs, checks and evaluates it when told to."""

import io
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from benchmark import accuracy
from benchmark import arm64
from benchmark import op_profile
from benchmark.conditions import peak_memory_bytes
from benchmark.conditions import reset_peak_memory
from benchmark.fork import forked
from benchmark.graph import ResizingGraph
from benchmark.graph import sample_picture
from benchmark.latency import timed
from benchmark.process import serve
from mai_depth.errors import UserError
from mai_depth.tflite.graph import delegate_partitions
from mai_depth.tflite.schema import litert


class Worker:
    """Handlers for `benchmark.process.serve` around one graph."""

    def open(
        self, path: str, num_threads: int, use_xnnpack: bool, frame: str | None
    ) -> dict[str, Any]:
        """Opens the graph.

        Args:
            path: The .tflite file.
            num_threads: 1..64.
            use_xnnpack: Whether the XNNPACK delegate is used.
            frame: A picture file for `end_to_end`, or None.

        Returns:
            Its sizes, delegate partitions and notes.
        """
        self._path, self._threads, self._xnnpack = path, num_threads, use_xnnpack
        self._frame = _read_frame(frame) if frame else None
        self._sample = sample_picture()
        litert()  # LiteRT's own libraries do not count as the graph's memory
        self._memory_before = reset_peak_memory()
        self._graph = self._open()
        partitions, left = delegate_partitions(self._graph.interpreter)
        return {
            "input_size": self._graph.input_size,
            "output_size": self._graph.output_size,
            "partitions": partitions,
            "undelegated": left,
            "notes": self._graph.notes,
        }

    def run(self, count: int, warmup: int) -> tuple[list[int], int]:
        """Opens the graph anew and invokes it `count` times; see `benchmark.latency.timed`."""
        return forked(lambda: timed(self._open().interpreter.invoke, count, warmup))

    def end_to_end(self, count: int, warmup: int) -> tuple[list[int], int]:
        """Like `run`, from the picture file's bytes to metres."""
        def times() -> tuple[list[int], int]:
            graph = self._open()
            return timed(lambda: graph.predict(_decode(self._frame or b"")), count, warmup)

        return forked(times)

    def run_part(self, path: str, count: int, warmup: int) -> tuple[list[int], int]:
        """Like `run`, of another file: a part of the graph, with random numbers as its inputs."""
        def times() -> tuple[list[int], int]:
            part = op_profile.open_graph(path, self._threads, self._xnnpack)
            return timed(part.invoke, count, warmup)

        return forked(times)

    def output(self) -> dict[str, Any]:
        """Judges the depth map of the picture used for timing.

        Returns:
            `finite`: the share of finite values; `minimum`, `maximum` of those in metres.
        """
        depth = self._graph.predict(self._sample)
        finite = depth[np.isfinite(depth)]
        return {
            "finite": finite.size / depth.size,
            "minimum": float(finite.min()) if finite.size else None,
            "maximum": float(finite.max()) if finite.size else None,
        }

    def memory(self) -> dict[str, int]:
        """Peak memory of this process in bytes, and its memory before the graph was opened."""
        self._graph.interpreter.invoke()
        return {"peak": peak_memory_bytes(), "before": self._memory_before}

    def accuracy(self, scale: float = 1.0, **arguments: Any) -> Iterator[int]:
        """Evaluates the graph, its depth times `scale`; see `benchmark.accuracy.evaluate`."""
        predict = self._graph.predict
        if scale != 1.0:
            return accuracy.evaluate(
                lambda *picture: predict(*picture) * np.float32(scale), **arguments)
        return accuracy.evaluate(predict, **arguments)

    def instructions(self, folder: str, cpu: str) -> int:
        """Counts the instructions of an invoke; see `benchmark.arm64.run_graph`."""
        return arm64.run_graph(self._path, folder, cpu).instructions

    def profile(self, num_runs: int) -> Iterator[int]:
        """Times the operators one by one; see `benchmark.op_profile.time_operators`."""
        return op_profile.time_operators(self._path, self._threads, self._xnnpack, num_runs)

    def _open(self) -> ResizingGraph:
        graph = ResizingGraph(self._path, self._threads, self._xnnpack)
        graph.set_picture(self._sample)
        return graph


def _read_frame(path: str) -> bytes:
    try:
        frame = pathlib.Path(path).expanduser().read_bytes()
        _decode(frame)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"--end_to_end={path}: not a picture that Pillow reads "
                        f"({error})") from error
    return frame


def _decode(frame: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(frame)) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    worker = Worker()
    serve({name: getattr(worker, name) for name in
           ("open", "run", "end_to_end", "run_part", "output", "memory", "accuracy",
            "instructions", "profile")})
    sys.exit(0)
