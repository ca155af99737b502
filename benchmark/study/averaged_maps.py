"""Depth maps of which a few averages are left, and the table of what that changes."""

import csv
import io
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmark.study.paired import block_bootstrap
from mai_depth.atomic import atomic_path
from mai_depth.atomic import write_text_atomic
from mai_depth.depth import valid_mask
from mai_depth.edge_metrics import boundary_f1
from mai_depth.metrics import image_metrics

METRICS = ("si_rmse", "delta1", "boundary_f1")
FORMS = {"as it is": None, "16x20": (16, 20), "8x10": (8, 10)}
COLUMNS = ("network", "form", "metric", "images", "value", "low", "high", "change", "change_low",
           "change_high")
_TITLES = {"si_rmse": "si-RMSE (less is better)", "delta1": "delta1 (more is better)",
           "boundary_f1": "F1 of the edges (more is better)"}


def averaged(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reduces a depth map to a few block averages.

    Args:
        depth: float [height, width] in metres, 0 = missing.
        size: Rows and columns of blocks, divisors of height and width.

    Returns:
        float32 [height, width]: the mean of the valid pixels of each block, resized bilinearly; a
        block without any has the mean of the picture's blocks.
    """
    (height, width), (rows, columns) = depth.shape, size
    blocks = (rows, height // rows, columns, width // columns)
    valid = valid_mask(depth)
    total = np.where(valid, depth, 0.0).reshape(blocks).sum(axis=(1, 3))
    count = valid.reshape(blocks).sum(axis=(1, 3))
    means = np.divide(total, count, out=np.zeros(size), where=count > 0)
    means[count == 0] = means[count > 0].mean()
    image = Image.fromarray(means.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def lines_of(
    measured: Mapping[tuple[str, str], np.ndarray], block: int
) -> Iterator[dict[str, Any]]:
    """Makes the lines of the table.

    Args:
        measured: `METRICS` of each picture, [pictures, metrics], by network and form; NaN where a
            picture has none.
        block: As in `paired.block_bootstrap`.

    Yields:
        A line for each network, form and metric; `change` is against the map as it is.
    """
    for (network, form), values in measured.items():
        changes = values - measured[network, "as it is"]
        for index, metric in enumerate(METRICS):
            value, change = values[:, index], changes[:, index]
            low, high = block_bootstrap(value[~np.isnan(value)], block)
            change_low, change_high = block_bootstrap(change[~np.isnan(change)], block)
            numbers = (np.nanmean(value), low, high, np.nanmean(change), change_low, change_high)
            yield dict(zip(COLUMNS, (
                network, form, metric, int((~np.isnan(value)).sum()),
                *(f"{number:.4f}" for number in numbers)), strict=True))


def metrics_of(truth: np.ndarray, depth: np.ndarray) -> list[float]:
    """`METRICS` of one picture: `truth` and `depth` are [height, width] in metres."""
    values = image_metrics(truth, depth) | {"boundary_f1": boundary_f1(truth, depth)}
    return [values[name] for name in METRICS]


def write_lines(path: pathlib.Path, lines: Iterator[dict[str, Any]]) -> None:
    """Writes the table."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text_atomic(path, table.getvalue())


def text(lines: Sequence[Mapping[str, str]]) -> str:
    """Lays out the table, as `results.read_lines` reads it: a value a line."""
    width = max(len(line["network"]) for line in lines)
    rows = []
    for line in lines:
        change = ("" if line["form"] == "as it is" else
                  f"  change {float(line['change']):+.4f} "
                  f"({float(line['change_low']):+.4f} to {float(line['change_high']):+.4f})")
        rows.append(f"{line['network']:{width}}  {line['form']:8}  {line['metric']:11}  "
                    f"{line['value']} ({line['low']} to {line['high']}){change}")
    return "\n".join(rows)


def draw(path: pathlib.Path, lines: Sequence[Mapping[str, str]]) -> None:
    """One panel a metric: each network's value by how many numbers its map has left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(METRICS))
    networks = list(dict.fromkeys(line["network"] for line in lines))
    for axes, metric in zip(panels, METRICS, strict=True):
        for number, network in enumerate(networks):
            chosen = [line for line in lines if (line["network"], line["metric"])
                      == (network, metric)]
            values, lows, highs = (np.array([float(line[name]) for line in chosen])
                                   for name in ("value", "low", "high"))
            places = np.arange(len(chosen)) + 0.06 * (number - len(networks) / 2)
            axes.errorbar(places, values, [values - lows, highs - values], marker="o",
                          capsize=2, linewidth=1.2, color=f"C{number}", label=network)
        axes.set_xticks(range(len(FORMS)), ["480x640", *list(FORMS)[1:]])
        axes.set(title=_TITLES[metric], xlabel="numbers in the map", ylim=(0, None))
        axes.grid(alpha=0.2)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=len(networks), fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
