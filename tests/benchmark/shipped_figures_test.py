"""Every table that gives a figure of a shipped network gives that of the file that is shipped."""

import csv

import pytest
from conftest import REPOSITORY

from mai_depth.network.pretrained import list_pretrained

RESULTS = REPOSITORY / "benchmark" / "results"
VALIDATION, KITCHEN = "nyuv2/validation", "redkitchen/train"
ARMS = {"indoor_fast": "a75_stop16_96+indoor"}  # in frontier.csv, where the size's name is another
NETWORKS = {entry["name"]: entry for entry in list_pretrained()
            if entry["name"].startswith("indoor_") and not entry["name"].endswith("_int8")}


def read(name):
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", NETWORKS)
def test_measured_as_shipped(name):
    measured = {row["data"]: row for row in read("learning.csv")
                if row["model"] == f"pretrained/{name}"}
    assert {VALIDATION, KITCHEN} <= measured.keys()
    assert {row["sha256"] for row in measured.values()} == {NETWORKS[name]["sha256"]}
    arm = ARMS.get(name, f"{name.removeprefix('indoor_')}+indoor")
    plotted = {row["data"]: row["si_rmse"] for row in read("frontier.csv") if row["arm"] == arm}
    assert plotted == {data: row["si_rmse"] for data, row in measured.items()}
    si_rmse = {data: f"{float(row['si_rmse']):.4f}" for data, row in measured.items()}
    assert f"{NETWORKS[name]['metrics']['si_rmse']:.4f}" == si_rmse[VALIDATION]
    page = (RESULTS / "README.md").read_text()
    for data, figure in si_rmse.items():
        assert f"| {data} | `{name}` | {figure} |" in page
    assert f"| `{name}` | {si_rmse[VALIDATION]} |" in (
        REPOSITORY / "docs/eighty_numbers.md").read_text()
    row, = (line for line in (REPOSITORY / "README.md").read_text().splitlines()
            if line.startswith(f"| `{name}` |"))
    assert f"| {si_rmse[VALIDATION]} |" in row
