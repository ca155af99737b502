"""What a benchmark run measures, and for how long."""

import dataclasses
from typing import Any

from benchmark.arm64 import CPUS


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
    camera: str | None = None
    profile: bool = False
    arm64: str | None = None
    arm64_cpu: str = CPUS[0]

    def limits(self) -> dict[str, Any]:
        """How long to measure, as `latency.measure` takes it."""
        return {"warmup_runs": self.warmup_runs, "num_runs": self.num_runs,
                "min_secs": self.min_secs}
