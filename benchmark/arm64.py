"""Instructions per invoke on an emulated 64-bit Arm CPU: LiteRT's real aarch64 build under QEMU.

A count repeats to 0.001 % on a noisy machine, so it compares graphs where time cannot. It is not
time: it knows nothing of pipelines, caches or memory, and is never turned into milliseconds.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import tempfile

import numpy as np

from benchmark.graph import ResizingGraph
from benchmark.graph import sample_picture
from benchmark.process import SILENCE_S
from mai_depth.errors import UserError

# XNNPACK picks its kernels by these lines. An A76 (Raspberry Pi 5) has dot products and float16
# arithmetic, an A72 (Raspberry Pi 4) has neither.
_CPUS = {
    "cortex-a72": ("fp asimd evtstrm crc32 cpuid", "0x0", "0xd08", "3"),
    "cortex-a76": ("fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
                   "asimdrdm lrcpc dcpop asimddp", "0x4", "0xd0b", "1"),
}
CPUS = tuple(_CPUS)
TIMEOUT_S = SILENCE_S - 60  # the worker that waits for it must speak before it counts as hanging


@dataclasses.dataclass(frozen=True)
class ArmRun:
    """One graph on the emulated CPU.

    Attributes:
        instructions: Of one invoke.
        output: The raw output tensor for `sample_picture`.
    """

    instructions: int
    output: np.ndarray


def check_folder(folder: str | os.PathLike) -> pathlib.Path:
    """Checks that the emulator is there.

    Args:
        folder: Holds `host` (QEMU), `root` (arm64 libraries and Python), `site` (the aarch64
            packages) and `libcount.so` (the counting plugin).

    Returns:
        The folder, absolute.

    Raises:
        UserError: Something is missing.
    """
    folder = pathlib.Path(folder).expanduser().resolve()
    for part in ("host/usr/bin/qemu-aarch64", "root/usr/bin/python3.11", "site", "libcount.so"):
        if not (folder / part).exists():
            raise UserError(f"--arm64={folder}: has no {part}; give a folder with the arm64 "
                            "emulator in it or leave the flag out")
    return folder


def run_graph(
    graph: str | os.PathLike, folder: str | os.PathLike, cpu: str = CPUS[0], runs: int = 3
) -> ArmRun:
    """Runs a graph on the emulated CPU and counts.

    Args:
        graph: A .tflite file.
        folder: See `check_folder`.
        cpu: One of `CPUS`.
        runs: Invokes; the last one is counted, the first ones fill what is made once.

    Returns:
        The count and the output.

    Raises:
        UserError: The emulator or the graph in it failed.
    """
    folder = check_folder(folder)
    opened = ResizingGraph(graph)
    opened.set_picture(sample_picture())
    detail = opened.interpreter.get_input_details()[0]
    with tempfile.TemporaryDirectory() as temporary:
        source, target = pathlib.Path(temporary, "in.npy"), pathlib.Path(temporary, "out.npy")
        np.save(source, opened.interpreter.get_tensor(detail["index"]))
        root = _root(folder, pathlib.Path(temporary, "root"), cpu)
        script = pathlib.Path(__file__).with_name("arm64_invoke.py")
        command = _command(folder, root, cpu)
        command += [str(script), str(graph), str(source), str(target), str(runs)]
        log = _execute(command, folder, graph, cpu)
        counts = re.findall(rf"^COUNT {runs} total=(\d+)", log, re.MULTILINE)
        if not counts:
            raise UserError(f"--arm64={folder}: the plugin printed no count; set it up again")
        return ArmRun(int(counts[0]), np.load(target))


def _root(folder: pathlib.Path, root: pathlib.Path, cpu: str) -> pathlib.Path:
    """Makes a root of links with the CPU's own /proc/cpuinfo.

    QEMU shows the host's file otherwise, on which XNNPACK crashes.
    """
    (root / "proc").mkdir(parents=True)
    for entry in (folder / "root").iterdir():
        if entry.name != "proc":
            (root / entry.name).symlink_to(entry)
    features, variant, part, revision = _CPUS[cpu]
    core = (f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: {variant}\nCPU part\t: {part}\n"
            f"CPU revision\t: {revision}\n\n")
    (root / "proc/cpuinfo").write_text("".join(f"processor\t: {i}\n{core}" for i in range(4)))
    return root


def _command(folder: pathlib.Path, root: pathlib.Path, cpu: str) -> list[str]:
    variables = {"PYTHONPATH": folder / "site", "PYTHONNOUSERSITE": 1,
                 "PYTHONDONTWRITEBYTECODE": 1, "OPENBLAS_NUM_THREADS": 1}
    command = [str(folder / "host/usr/bin/qemu-aarch64"), "-plugin",
               f"file={folder / 'libcount.so'}", "-cpu", cpu, "-L", str(root),
               "-U", "LD_LIBRARY_PATH"]
    for name, value in variables.items():
        command += ["-E", f"{name}={value}"]
    return [*command, str(folder / "root/usr/bin/python3.11")]


def _execute(command: list[str], folder: pathlib.Path, graph: str | os.PathLike, cpu: str) -> str:
    libraries = str(folder / "host/usr/lib/x86_64-linux-gnu")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S,
                              env={**os.environ, "LD_LIBRARY_PATH": libraries})
    except subprocess.TimeoutExpired:
        raise UserError(f"{graph}: not done on the emulated {cpu} in {TIMEOUT_S:.0f} s; measure it "
                        "without --arm64") from None
    if done.returncode:
        lines = done.stderr.strip().split("\n")
        raise UserError(f"{graph}: failed on the emulated {cpu} with code {done.returncode} "
                        f"({lines[-1]}); measure it without --arm64")
    return done.stderr
