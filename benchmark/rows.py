"""One benchmark run: opens the graphs, measures them together, and gives a row for each."""

import contextlib
import dataclasses
import functools
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from benchmark import accuracy
from benchmark import latency
from benchmark import op_profile
from benchmark import roofline
from benchmark.arm64 import CPUS
from benchmark.arm64 import check_folder
from benchmark.conditions import read_conditions
from benchmark.process import ChildProcess
from benchmark.sidecar import has_random_weights
from benchmark.sidecar import read_sidecar
from mai_depth.depth import missing_line
from mai_depth.errors import UserError
from mai_depth.metrics import mai_score
from mai_depth.tflite.graph import TfliteFile

PROFILE_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure; the names are those of the flags."""

    graphs: tuple[str, ...]
    num_threads: int = 1
    warmup_runs: int = 1
    num_runs: int = 50
    min_secs: float = 1.0
    use_xnnpack: bool = True
    roofline: bool = True
    end_to_end: str | None = None
    data_dir: str | None = None
    split: str = "validation"
    depth_units_per_m: float = 1000.0
    missing_depth_value: int | None = None
    nyu_crop: bool = False
    pooled: bool = False
    profile: bool = False
    arm64: str | None = None
    arm64_cpu: str = CPUS[0]

    def limits(self) -> dict[str, Any]:
        """How long to measure, as `latency.measure` takes it."""
        return {"warmup_runs": self.warmup_runs, "num_runs": self.num_runs,
                "min_secs": self.min_secs}


@dataclasses.dataclass
class _Entry:
    """A graph while it is measured."""

    path: str
    file: TfliteFile
    sidecar: dict[str, Any]
    process: ChildProcess
    row: dict[str, Any]

    def block(self, handler: str, **arguments: Any) -> latency.Block:
        """What `latency.measure` takes, of a handler of its process."""
        return functools.partial(self.process.call, handler, **arguments)

    def warn(self, message: str) -> None:
        """Adds what makes the row doubtful."""
        self.row["warnings"].append(message)

    def note(self, message: str) -> None:
        """Adds what a reader must know."""
        self.row["notes"].append(message)


def measure(options: Options, load_average: float) -> dict[str, Any]:
    """Measures graphs.

    Args:
        options: What to measure.
        load_average: Of before the first of several measurements: each raises what the next would
            see.

    Returns:
        `conditions`; `roofline` (or None); `rows`, one for each graph, flat but for `notes`,
        `warnings` (what makes a row doubtful) and `profile`; `failed`, whether a graph crashed.

    Raises:
        UserError: A graph, a folder or a picture cannot be used; nothing was measured then.
    """
    pairs = None
    if options.data_dir:
        pairs = accuracy.list_pairs(options.data_dir, options.split)
    if options.arm64:
        check_folder(options.arm64)
    with contextlib.ExitStack() as stack:
        entries = [_open(path, options, stack) for path in options.graphs]
        peaks = _measure_speed(entries, options, stack)
        conditions = {**read_conditions(), "load_average": load_average}
        for entry in entries:
            try:
                _measure_rest(entry, options, pairs)
            except UserError as fault:  # of a picture or of one graph; the others go on
                entry.row["fault"] = str(fault)
    for entry in entries:  # whoever prints a row names its graph
        entry.row["fault"] = entry.row["fault"].removeprefix(f"{entry.row['graph']}: ")
    return {
        "conditions": {**conditions, "num_threads": options.num_threads,
                       "use_xnnpack": options.use_xnnpack},
        "roofline": peaks,
        "rows": [entry.row for entry in entries],
        "failed": any(entry.row["fault"] for entry in entries),
    }


def _open(path: str, options: Options, stack: contextlib.ExitStack) -> _Entry:
    path = str(pathlib.Path(path).expanduser())
    file = TfliteFile(path)
    process = stack.enter_context(ChildProcess("benchmark.worker", subject=path))
    opened = process.call("open", path=path, num_threads=options.num_threads,
                          use_xnnpack=options.use_xnnpack, frame=options.end_to_end)
    row = {
        "graph": path,
        "fault": "",
        "dtype": file.number_format(),
        "input": f"{opened['input_size'][0]}x{opened['input_size'][1]} {_dtype(file.inputs())}",
        "output": f"{opened['output_size'][0]}x{opened['output_size'][1]} {_dtype(file.outputs())}",
        "macs": file.macs(),
        "flops": 2 * file.macs(),
        "parameters": file.parameters(),
        "weight_bytes": file.weight_bytes(),
        "file_bytes": file.size_bytes,
        "sha256": file.sha256(),
        "operators": len(file.ops()),
        "partitions": opened["partitions"],
        "undelegated": len(opened["undelegated"]),
        "undelegated_types": " ".join(sorted(set(opened["undelegated"]))),
        "notes": list(opened["notes"]),
        "warnings": [],
        "profile": None,
    }
    entry = _Entry(path, file, read_sidecar(path), process, row)
    _check_sidecar(entry)
    if options.data_dir and tuple(opened["input_size"]) != (480, 640):
        entry.note("pictures are resized to {}x{} by Pillow (bilinear), outside the timed graph"
                   .format(*opened["input_size"]))
    if options.data_dir and tuple(opened["output_size"]) != (480, 640):
        entry.note("the map is resized to the truth's size (bilinear), outside the timed graph")
    return entry


def _check_sidecar(entry: _Entry) -> None:
    expected = entry.sidecar.get("sha256")
    if expected is None:
        entry.note("no checksum beside the graph: a damaged file would run with wrong numbers")
    elif expected != entry.row["sha256"]:
        entry.warn("sha256 differs from the .json beside it: the file is damaged or was exchanged; "
                   "its figures mean nothing")
    if "note" in entry.sidecar:
        entry.note(str(entry.sidecar["note"]))
    if has_random_weights(entry.sidecar):
        entry.note("random weights: for speed only, no accuracy is measured")


def _measure_speed(
    entries: Sequence[_Entry], options: Options, stack: contextlib.ExitStack
) -> dict[str, float] | None:
    """Times graphs and roofline in one alternation and fills the rows."""
    limits = options.limits()
    blocks = [entry.block("run") for entry in entries]
    if options.roofline:
        for process in (roofline.sgemm_process(options.num_threads), roofline.copy_process()):
            blocks.append(functools.partial(stack.enter_context(process).call, "run"))
    results = latency.measure(blocks, **limits)
    peaks, sgemm = None, None
    if options.roofline and not any(result.fault for result in results[-2:]):
        sgemm, copied = results[-2:]
        sgemm_ms, copy_ms = sgemm.milliseconds(0), copied.milliseconds(0)
        peaks = {"sgemm_gmacs_per_s": roofline.SGEMM_MACS / sgemm_ms / 1e6,
                 "copy_gb_per_s": roofline.COPY_BYTES / copy_ms / 1e6}
    for entry, result in zip(entries, results, strict=False):
        _fill_speed(entry.row, result, results[0], sgemm)
    for entry in entries:
        _fill_memory(entry)
    if options.end_to_end:
        whole = latency.measure([entry.block("end_to_end") for entry in entries], **limits)
        for entry, result in zip(entries, whole, strict=True):
            entry.row["fault"] = entry.row["fault"] or result.fault
            if not result.fault:
                entry.row["end_to_end_ms_p50"] = result.milliseconds(50)
                entry.row["end_to_end_ms_p90"] = result.milliseconds(90)
    return peaks


def _fill_speed(
    row: dict[str, Any], result: latency.Latency, first: latency.Latency,
    sgemm: latency.Latency | None,
) -> None:
    row["fault"] = result.fault
    if result.fault:
        return
    for name, percentile in (("p50", 50), ("p90", 90), ("min", 0), ("max", 100)):
        row[f"latency_ms_{name}"] = result.milliseconds(percentile)
    row["cpu_ms"] = result.cpu_milliseconds()
    row["runs"], row["rounds"] = result.runs, sum(map(bool, result.rounds))
    compared = latency.ratio(first, result)
    if compared:
        row["ratio"], row["ratio_low"], row["ratio_high"] = compared
        row["cpu_ratio"] = latency.cpu_ratio(first, result)
    row["gmacs_per_s"] = row["macs"] / row["latency_ms_p50"] / 1e6
    if sgemm:
        row["sgemm_percent"] = roofline.sgemm_percent(row["macs"], latency.cpu_ratio(sgemm, result))


def _fill_memory(entry: _Entry) -> None:
    if entry.row["fault"]:
        return
    memory = entry.process.call("memory")
    entry.row["peak_memory_bytes"] = memory["peak"]
    entry.row["graph_memory_bytes"] = memory["peak"] - memory["before"]


def _measure_rest(
    entry: _Entry, options: Options, pairs: list[tuple[str, str]] | None
) -> None:
    """Output, accuracy, score, instructions and profile of one graph."""
    if entry.row["fault"]:
        return
    row, call = entry.row, entry.process.call
    _judge_output(entry, call("output"))
    if pairs and not has_random_weights(entry.sidecar):
        _measure_accuracy(entry, options, pairs)
    if options.arm64:
        row["arm64_cpu"] = options.arm64_cpu
        row["arm64_instructions"] = call("instructions", folder=options.arm64,
                                         cpu=options.arm64_cpu)
    if options.profile:
        name = pathlib.Path(entry.path).name
        with _bar(f"profile {name}", PROFILE_ROUNDS) as bar:
            profile = call("profile", progress=lambda _: bar.update(), num_runs=PROFILE_ROUNDS)
        row["profile"] = {**profile, "moved_bytes": entry.file.moved_bytes(),
                          **_measure_core(entry, options)}


def _measure_core(entry: _Entry, options: Options) -> dict[str, dict[str, Any]]:
    """Times what lies between a graph's resizes, the whole and a matrix product in alternation."""
    core = op_profile.cut_core(entry.file) if options.roofline else None
    if core is None:
        return {}
    with (tempfile.TemporaryDirectory() as folder,
          roofline.sgemm_process(options.num_threads) as process):
        path = pathlib.Path(folder) / "core.tflite"
        path.write_bytes(core)
        blocks: list[latency.Block] = [
            entry.block("run"), entry.block("run_part", path=str(path)),
            functools.partial(process.call, "run")]
        whole, part, sgemm = latency.measure(blocks, **options.limits())
        macs = TfliteFile(path).macs()
    if whole.fault or part.fault or sgemm.fault:
        return {}
    return {"whole": _beside(sgemm, whole, entry.row["macs"]), "core": _beside(sgemm, part, macs)}


def _beside(sgemm: latency.Latency, part: latency.Latency, macs: int) -> dict[str, Any]:
    fastest = part.milliseconds(0) / sgemm.milliseconds(0)
    return {"ms": part.milliseconds(50), "macs": macs,
            "sgemm_percent": roofline.sgemm_percent(macs, latency.cpu_ratio(sgemm, part)),
            "fastest_sgemm_percent": roofline.sgemm_percent(macs, fastest)}


def _judge_output(entry: _Entry, output: dict[str, Any]) -> None:
    row = entry.row
    row["finite_share"] = output["finite"]
    row["depth_min_m"], row["depth_max_m"] = output["minimum"], output["maximum"]
    if output["finite"] < 1:
        entry.warn(f"{100 * (1 - output['finite']):.1f} % of its output is not finite")
    elif output["minimum"] == output["maximum"]:
        entry.warn(f"its output is constant ({output['minimum']:g})")


def _measure_accuracy(
    entry: _Entry, options: Options, pairs: list[tuple[str, str]]
) -> None:
    row, name = entry.row, pathlib.Path(entry.path).name
    with _bar(f"accuracy {name}", len(pairs)) as bar:
        metrics = entry.process.call(
            "accuracy", progress=lambda _: bar.update(), pairs=pairs,
            depth_units_per_m=options.depth_units_per_m,
            missing_depth_value=options.missing_depth_value, nyu_crop=options.nyu_crop,
            pooled=options.pooled)
    cleared_pixels, cleared_maps = metrics.pop("cleared_pixels"), metrics.pop("cleared_maps")
    if cleared_pixels:
        entry.note(missing_line(cleared_pixels, cleared_maps))
    row.update(metrics)
    row["data"] = f"{options.data_dir} {options.split}"
    row["crop"] = "nyu" if options.nyu_crop else "none"
    row["pooling"] = f"{accuracy.POOL} images" if options.pooled else "per image"
    try:
        row["score"] = mai_score(row["si_rmse"], row["latency_ms_p50"])
    except UserError as error:
        entry.warn(f"no score: {error}")


def _bar(title: str, total: int) -> tqdm:
    return tqdm(total=total, desc=title, leave=False, disable=None)


def _dtype(tensors: Sequence[Any]) -> str:
    return tensors[0].dtype.lower()
