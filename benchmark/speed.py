"""Speed and memory of graphs, and of the CPU itself, all timed in one alternation."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence

from benchmark import latency
from benchmark import roofline
from benchmark.opened_graph import OpenedGraph
from benchmark.options import Options
from benchmark.row import Row


def measure_speed(
    graphs: Sequence[OpenedGraph], options: Options, stack: contextlib.ExitStack
) -> roofline.Peaks | None:
    """Times graphs, puts the figures into their rows, and times a matrix product and a copy.

    Args:
        graphs: The first is the one that the others are compared with.
        options: What to measure.
        stack: Ends the processes.

    Returns:
        What the CPU can do at most; None if it was not to be timed or could not be.
    """
    limits = options.limits()
    blocks = [graph.block("run") for graph in graphs]
    if options.roofline:
        for process in (roofline.sgemm_process(options.num_threads), roofline.copy_process()):
            blocks.append(functools.partial(stack.enter_context(process).call, "run"))
    results = latency.measure(blocks, **limits)
    peaks, sgemm = None, None
    if options.roofline and not any(result.fault for result in results[-2:]):
        sgemm, copied = results[-2:]
        sgemm_ms, copy_ms = sgemm.milliseconds(0), copied.milliseconds(0)
        peaks = roofline.Peaks(sgemm_gmacs_per_s=roofline.SGEMM_MACS / sgemm_ms / 1e6,
                               copy_gb_per_s=roofline.COPY_BYTES / copy_ms / 1e6)
    for graph, result in zip(graphs, results, strict=False):
        graph.row = _with_speed(graph.row, result, results[0], sgemm)
    for graph in graphs:
        _measure_memory(graph)
    if options.end_to_end:
        whole = latency.measure([graph.block("end_to_end") for graph in graphs], **limits)
        for graph, result in zip(graphs, whole, strict=True):
            graph.row = _with_end_to_end(graph.row, result)
    return peaks


def _with_speed(
    row: Row, result: latency.Latency, first: latency.Latency, sgemm: latency.Latency | None
) -> Row:
    if result.fault:
        return dataclasses.replace(row, fault=result.fault)
    median_ms = result.milliseconds(50)
    ratio, low, high = latency.ratio(first, result) or (None, None, None)
    relative = latency.cpu_ratio(sgemm, result) if sgemm else None
    return dataclasses.replace(
        row,
        latency_ms_p50=median_ms,
        latency_ms_p90=result.milliseconds(90),
        latency_ms_min=result.milliseconds(0),
        latency_ms_max=result.milliseconds(100),
        cpu_ms=result.cpu_milliseconds(),
        runs=result.runs,
        rounds=sum(map(bool, result.rounds)),
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        cpu_ratio=latency.cpu_ratio(first, result),
        gmacs_per_s=row.macs / median_ms / 1e6,
        sgemm_percent=roofline.sgemm_percent(row.macs, relative),
    )


def _measure_memory(graph: OpenedGraph) -> None:
    if graph.row.fault:
        return
    memory = graph.process.call("memory")
    graph.row = dataclasses.replace(
        graph.row, peak_memory_bytes=memory["peak"],
        graph_memory_bytes=memory["peak"] - memory["before"])


def _with_end_to_end(row: Row, result: latency.Latency) -> Row:
    if result.fault:
        return dataclasses.replace(row, fault=row.fault or result.fault)
    return dataclasses.replace(row, end_to_end_ms_p50=result.milliseconds(50),
                               end_to_end_ms_p90=result.milliseconds(90))
