"""What a figure depends on: the CPU, its clock and temperature, versions, and who else is busy."""

import contextlib
import dataclasses
import datetime
import os
import pathlib
import platform
import re
import subprocess
from importlib import metadata

_THROTTLED_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "hot",
                   16: "under-voltage before", 17: "capped before", 18: "throttled before",
                   19: "hot before"}


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Under which conditions a benchmark was run; None is what the machine does not report.

    Attributes:
        cpu: The board's or the CPU's name.
        cores: How many cores could be used.
        governor: Who chooses the clock: `performance`, `ondemand` ...
        cpu_mhz: The clock of the first core.
        temperature_c: Of the first sensor, in degrees Celsius.
        throttled: On a Raspberry Pi why it slowed down, or `no`.
        load_average: Of one minute, from before the first measurement.
        system: Kernel and machine.
        versions: Of Python and of the packages that take part, by name.
        date: When it began, in ISO 8601, UTC.
        num_threads: Threads of LiteRT.
        use_xnnpack: Whether the XNNPACK delegate was used.
    """

    cpu: str
    cores: int
    governor: str | None
    cpu_mhz: float | None
    temperature_c: float | None
    throttled: str | None
    load_average: float
    system: str
    versions: dict[str, str]
    date: str
    num_threads: int
    use_xnnpack: bool

    @property
    def threads(self) -> str:
        """How many threads LiteRT used, in words: `1 thread`, `2 threads`."""
        return f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"

    def warnings(self) -> list[str]:
        """Lists what may spoil a measurement under these conditions, one line each."""
        found = []
        if self.num_threads > self.cores:
            found.append(f"{self.num_threads} threads on {self.cores} cores: they wait for each "
                         "other")
        if self.load_average > max(0.5, self.cores - self.num_threads + 0.5):
            found.append(f"load average {self.load_average} on {self.cores} cores: "
                         "other programs take part; trust the CPU columns, not the durations")
        if self.governor not in (None, "performance"):
            found.append(f"governor {self.governor}: the clock varies; "
                         "'performance' gives steady figures")
        if self.throttled not in (None, "no"):
            found.append(f"throttled: {self.throttled}; cool it or give it a better supply")
        return found


def read_conditions(
    num_threads: int, use_xnnpack: bool, load_average: float,
    root: pathlib.Path = pathlib.Path("/"),
) -> Conditions:
    """Describes this machine as far as it reports.

    Args:
        num_threads: Threads of LiteRT.
        use_xnnpack: Whether the XNNPACK delegate is used.
        load_average: Of before the first measurement, as `read_load_average` returns it.
        root: Where /proc and /sys lie (a test gives another folder).

    Returns:
        The conditions now.
    """
    frequency = _number(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    temperature = _number(root / "sys/class/thermal/thermal_zone0/temp")
    return Conditions(
        cpu=cpu_name(root),
        cores=usable_cores(),
        governor=_text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cpu_mhz=frequency and frequency / 1e3,
        temperature_c=temperature and temperature / 1e3,
        throttled=_throttled(root),
        load_average=load_average,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        versions=versions(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        num_threads=num_threads,
        use_xnnpack=use_xnnpack,
    )


def read_load_average() -> float:
    """Returns how many programs wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def cpu_name(root: pathlib.Path = pathlib.Path("/")) -> str:
    """Returns the board's name (Raspberry Pi 4 Model B ...), else the CPU's, else its kind."""
    board = _text(root / "proc/device-tree/model")
    if board:
        return board.rstrip("\0")
    info = _text(root / "proc/cpuinfo") or ""
    name = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", info, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(\S+)$", info, re.MULTILINE)
    if name:
        return name.group(1).strip()
    return f"{platform.machine()} part {part.group(1)}" if part else platform.machine()


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Returns the versions of Python and of what takes part in a measurement."""
    found = {"python": platform.python_version()}
    for package in ("numpy", "pillow", "ai-edge-litert"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def reset_peak_memory() -> int:
    """Resets the peak of `peak_memory_bytes` where the system allows it (Linux).

    Returns:
        The peak from now on, which is the present size, or the old peak.
    """
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return peak_memory_bytes()


def peak_memory_bytes() -> int:
    """Returns the largest resident size that this process had.

    `getrusage` would also count the parent from before the program was started, so Linux' own
    figure for the running program is taken where there is one.
    """
    status = _text(pathlib.Path("/proc/self/status")) or ""
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    if peak:
        return int(peak.group(1)) * 1024
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _throttled(root: pathlib.Path) -> str | None:
    """Reads the Raspberry Pi firmware's flags: from the kernel, else by its own command."""
    text = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    if text is None and root == pathlib.Path("/"):
        try:
            answer = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True,
                                    timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return None
        text = answer.partition("=")[2].strip()
    try:
        flags = int(text or "", 16)
    except ValueError:
        return None
    names = [name for bit, name in _THROTTLED_BITS.items() if flags >> bit & 1]
    return ", ".join(names) or "no"


def _text(path: pathlib.Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _number(path: pathlib.Path) -> float | None:
    try:
        return float(_text(path) or "")
    except ValueError:
        return None
