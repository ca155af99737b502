"""One benchmark run: opens the graphs, measures them together, and gives a row for each."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import tempfile
from typing import Any

from tqdm import tqdm

from benchmark import accuracy
from benchmark import latency
from benchmark import op_profile
from benchmark import roofline
from benchmark.arm64 import check_folder
from benchmark.conditions import read_conditions
from benchmark.opened_graph import OpenedGraph
from benchmark.opened_graph import open_graph
from benchmark.options import Options
from benchmark.report import Report
from benchmark.row import Row
from benchmark.sidecar import has_random_weights
from benchmark.speed import measure_speed
from mai_depth.depth import missing_line
from mai_depth.errors import UserError
from mai_depth.metrics import mai_score
from mai_depth.predict.camera_file import Camera
from mai_depth.predict.camera_file import read_camera
from mai_depth.predict.scale import other_network
from mai_depth.tflite.graph import TfliteFile

PROFILE_ROUNDS = 10

_VGA = (640, 480)  # width and height of the pictures that accuracy is measured on


def measure(options: Options, load_average: float) -> Report:
    """Measures graphs.

    Args:
        options: What to measure.
        load_average: Of before the first of several measurements: each raises what the next would
            see.

    Returns:
        The conditions, what the CPU can do at most, and a row for each graph.

    Raises:
        UserError: A graph, a folder or a picture cannot be used; nothing was measured then.
    """
    pairs = None
    if options.data_dir:
        pairs = accuracy.list_pairs(options.data_dir, options.split)
    if options.arm64:
        check_folder(options.arm64)
    camera = read_camera(os.path.expanduser(options.camera)) if options.camera else None
    with contextlib.ExitStack() as stack:
        graphs = [open_graph(path, options, stack) for path in options.graphs]
        peaks = measure_speed(graphs, options, stack)
        conditions = read_conditions(options.num_threads, options.use_xnnpack, load_average)
        for graph in graphs:
            try:
                _measure_rest(graph, options, pairs, camera)
            except UserError as fault:  # of a picture or of one graph; the others go on
                graph.fail(str(fault))
    return Report(conditions, peaks, tuple(_without_name(graph.row) for graph in graphs))


def _measure_rest(
    graph: OpenedGraph, options: Options, pairs: list[tuple[str, str]] | None,
    camera: Camera | None,
) -> None:
    """Output, accuracy, score, instructions and profile of one graph."""
    if graph.row.fault:
        return
    _judge_output(graph)
    if pairs and not has_random_weights(graph.sidecar):
        _measure_accuracy(graph, options, pairs, camera)
    if options.arm64:
        count = graph.process.call("instructions", folder=options.arm64, cpu=options.arm64_cpu)
        graph.row = dataclasses.replace(
            graph.row, arm64_cpu=options.arm64_cpu, arm64_instructions=count)
    if options.profile:
        with _bar(f"profile {_name(graph)}", PROFILE_ROUNDS) as bar:
            profile = graph.process.call(
                "profile", progress=lambda _: bar.update(), num_runs=PROFILE_ROUNDS)
        graph.row = dataclasses.replace(graph.row, profile={
            **profile, "moved_bytes": graph.file.moved_bytes(), **_measure_core(graph, options)})


def _judge_output(graph: OpenedGraph) -> None:
    output = graph.process.call("output")
    graph.row = dataclasses.replace(
        graph.row, finite_share=output["finite"], depth_min_m=output["minimum"],
        depth_max_m=output["maximum"])
    if output["finite"] < 1:
        graph.warn(f"{100 * (1 - output['finite']):.1f} % of its output is not finite")
    elif output["minimum"] == output["maximum"]:
        graph.warn(f"its output is constant ({output['minimum']:g})")


def _measure_accuracy(
    graph: OpenedGraph, options: Options, pairs: list[tuple[str, str]], camera: Camera | None
) -> None:
    if camera:
        graph.note(f"accuracy with {camera} of {options.camera}")
        if warning := other_network(camera, str(options.camera), graph.path):
            graph.warn(warning)
    with _bar(f"accuracy {_name(graph)}", len(pairs)) as bar:
        metrics = graph.process.call(
            "accuracy", progress=lambda _: bar.update(), pairs=pairs,
            depth_units_per_m=options.depth_units_per_m,
            missing_depth_value=options.missing_depth_value, nyu_crop=options.nyu_crop,
            pooled=options.pooled, scale=camera.factor(_VGA, None, _VGA) if camera else 1.0)
    cleared_pixels, cleared_maps = metrics.pop("cleared_pixels"), metrics.pop("cleared_maps")
    if cleared_pixels:
        graph.note(missing_line(cleared_pixels, cleared_maps))
    row = graph.row = dataclasses.replace(
        graph.row,
        data=f"{options.data_dir} {options.split}",
        crop="nyu" if options.nyu_crop else "none",
        pooling=f"{accuracy.POOL} images" if options.pooled else "per image",
        **metrics,
    )
    assert row.latency_ms_p50 is not None  # or it had a fault
    try:
        score = mai_score(metrics["si_rmse"], row.latency_ms_p50)
        graph.row = dataclasses.replace(row, score=score)
    except UserError as error:
        graph.warn(f"no score: {error}")


def _measure_core(graph: OpenedGraph, options: Options) -> dict[str, dict[str, Any]]:
    """Times what lies between a graph's resizes, the whole and a matrix product in alternation."""
    core = op_profile.cut_core(graph.file) if options.roofline else None
    if core is None:
        return {}
    with (tempfile.TemporaryDirectory() as folder,
          roofline.sgemm_process(options.num_threads) as process):
        path = pathlib.Path(folder) / "core.tflite"
        path.write_bytes(core)
        blocks: list[latency.Block] = [
            graph.block("run"), graph.block("run_part", path=str(path)),
            functools.partial(process.call, "run")]
        whole, part, sgemm = latency.measure(blocks, **options.limits())
        macs = TfliteFile(path).macs()
    if whole.fault or part.fault or sgemm.fault:
        return {}
    return {"whole": _beside(sgemm, whole, graph.row.macs), "core": _beside(sgemm, part, macs)}


def _beside(sgemm: latency.Latency, part: latency.Latency, macs: int) -> dict[str, Any]:
    fastest = part.milliseconds(0) / sgemm.milliseconds(0)
    return {"ms": part.milliseconds(50), "macs": macs,
            "sgemm_percent": roofline.sgemm_percent(macs, latency.cpu_ratio(sgemm, part)),
            "fastest_sgemm_percent": roofline.sgemm_percent(macs, fastest)}


def _without_name(row: Row) -> Row:
    """The graph's name is added where a fault is printed."""
    return dataclasses.replace(row, fault=row.fault.removeprefix(f"{row.graph}: "))


def _name(graph: OpenedGraph) -> str:
    return pathlib.Path(graph.path).name


def _bar(title: str, total: int) -> tqdm:
    return tqdm(total=total, desc=title, leave=False, disable=None)
