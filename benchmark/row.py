"""What a benchmark reports of one graph: a row of the tables, a line of the CSV."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One graph. A field has the name of its column and key; None is what was not measured.

    Attributes:
        graph: Its path, or another name for it.
        fault: Why it could not be measured to the end, or empty.
        dtype: The type of its weights and activations: `float32`, `int8`, `int8 weights` ...
        input: Height x width of the picture and the type of the tensor: `480x640 uint8`.
        output: The same of the depth map.
        macs: Multiply-accumulates of one invoke.
        flops: Twice that.
        parameters: Numbers in its weights.
        weight_bytes: Their size in the file.
        file_bytes: Of the .tflite file.
        sha256: Of the .tflite file, hexadecimal.
        operators: How many it has.
        partitions: How many parts the delegate took; 0 without a delegate.
        undelegated: How many operators were left to LiteRT's own kernels.
        undelegated_types: Their types, each once, between spaces.
        notes: What a reader must know.
        warnings: What makes the row doubtful.
        profile: Time of each operator, see `benchmark.op_profile`; in the JSON alone.
        latency_ms_p50: Median duration of an invoke.
        latency_ms_p90: 90th percentile.
        latency_ms_min: The fastest.
        latency_ms_max: The slowest.
        cpu_ms: Mean processor time of an invoke, of all threads together.
        runs: Timed invokes.
        rounds: Blocks that they were made in.
        ratio: Duration, as a multiple of the first graph's.
        ratio_low: Lower end of its 95 % interval; NaN with too few rounds.
        ratio_high: Upper end.
        cpu_ratio: Processor time, as a multiple of the first graph's.
        gmacs_per_s: 1e9 multiply-accumulates in a second of the median.
        sgemm_percent: Speed of its multiplications, per cent of that of a float32 matrix product.
        peak_memory_bytes: The largest size of the process.
        graph_memory_bytes: How much of it came with the graph.
        end_to_end_ms_p50: Median duration from the bytes of a picture file to metres.
        end_to_end_ms_p90: 90th percentile.
        finite_share: Part of the depth map that is finite, 0..1.
        depth_min_m: The nearest depth of the picture used for timing.
        depth_max_m: The farthest.
        si_rmse: Scale-invariant RMSE of log depth; all metrics as in `mai_depth.metrics`, the
            mean over the pictures.
        rmse: Root of the mean square error in metres.
        log10: Mean error of the decimal logarithm.
        abs_rel: Mean error, relative to the truth.
        delta1: Share of the pixels that are off by less than a factor of 1.25.
        delta2: By less than 1.25^2.
        delta3: By less than 1.25^3.
        images: Pictures that the mean is taken over.
        si_rmse_median_scaled: The metric with each map scaled to the median of the truth; so are
            the next six.
        rmse_median_scaled: Scaled `rmse`, in metres.
        log10_median_scaled: Scaled `log10`.
        abs_rel_median_scaled: Scaled `abs_rel`.
        delta1_median_scaled: Scaled `delta1`.
        delta2_median_scaled: Scaled `delta2`.
        delta3_median_scaled: Scaled `delta3`.
        abs_rel_affine_aligned: `abs_rel` with each map fitted to the truth by scale and shift.
        delta1_affine_aligned: The same for `delta1`.
        boundary_f1: F1 of the edges, see `mai_depth.edge_metrics`.
        data: Folder and split of the pictures.
        crop: `nyu` or `none`.
        pooling: `per image`, or over how many images pixels are pooled.
        score: Of the challenge; it holds for one CPU.
        arm64_cpu: The emulated CPU whose instructions were counted.
        arm64_instructions: Of one invoke on it.
    """

    # the file
    graph: str
    fault: str = ""
    dtype: str
    input: str
    output: str
    macs: int
    flops: int
    parameters: int
    weight_bytes: int
    file_bytes: int
    sha256: str
    operators: int
    partitions: int
    undelegated: int
    undelegated_types: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    profile: dict[str, Any] | None = None

    # speed and memory
    latency_ms_p50: float | None = None
    latency_ms_p90: float | None = None
    latency_ms_min: float | None = None
    latency_ms_max: float | None = None
    cpu_ms: float | None = None
    runs: int | None = None
    rounds: int | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    cpu_ratio: float | None = None
    gmacs_per_s: float | None = None
    sgemm_percent: float | None = None
    peak_memory_bytes: int | None = None
    graph_memory_bytes: int | None = None
    end_to_end_ms_p50: float | None = None
    end_to_end_ms_p90: float | None = None

    # the depth map
    finite_share: float | None = None
    depth_min_m: float | None = None
    depth_max_m: float | None = None

    # accuracy and score
    si_rmse: float | None = None
    rmse: float | None = None
    log10: float | None = None
    abs_rel: float | None = None
    delta1: float | None = None
    delta2: float | None = None
    delta3: float | None = None
    images: int | None = None
    si_rmse_median_scaled: float | None = None
    rmse_median_scaled: float | None = None
    log10_median_scaled: float | None = None
    abs_rel_median_scaled: float | None = None
    delta1_median_scaled: float | None = None
    delta2_median_scaled: float | None = None
    delta3_median_scaled: float | None = None
    abs_rel_affine_aligned: float | None = None
    delta1_affine_aligned: float | None = None
    boundary_f1: float | None = None
    data: str | None = None
    crop: str | None = None
    pooling: str | None = None
    score: float | None = None

    # an emulated Arm CPU
    arm64_cpu: str | None = None
    arm64_instructions: int | None = None
