"""benchmark.study.frontier: costs and accuracy in one table, and which score counts."""

import dataclasses
import shlex

import pytest
from conftest import REPOSITORY

from benchmark.study.accuracy_table import METRICS
from benchmark.study.accuracy_table import Accuracy
from benchmark.study.frontier_graphs import LADDER
from benchmark.study.frontier_graphs import MEAN_MAP
from benchmark.study.frontier_graphs import PAPER
from benchmark.study.frontier_graphs import Cost
from benchmark.study.frontier_plot import draw
from benchmark.study.frontier_table import ARMS
from benchmark.study.frontier_table import network_of
from benchmark.study.frontier_table import read_frontier
from benchmark.study.frontier_table import scored
from benchmark.study.frontier_table import text
from benchmark.study.frontier_table import with_accuracy
from benchmark.study.frontier_table import with_costs
from benchmark.study.frontier_table import write_frontier
from mai_depth.errors import UserError

FAST = "a75_stop16_96"
COSTS = {PAPER: Cost(88, 88, 1.0, 2.5), FAST: Cost(13, 13, 0.1, 0.25, 7_700_000),
         MEAN_MAP: Cost(0, 0, 0.025, 0.0625)}


def accuracy(arm, value, fold=None, data="validation"):
    return Accuracy(**{"arm": arm, "model": "x", "sha256": arm, "data": data, "images": 80,
                       **dict.fromkeys(METRICS, 0.5), "si_rmse": value, "fold": fold})


def lines(*found):
    return scored(with_accuracy(with_costs([], COSTS), found))


def by_arm(table):
    return {line.arm: line for line in table}


def test_scores_by_hand():
    """A tenth of the time is 10; 0.05 of si-RMSE more halves it: 2^(-20 * 0.05)."""
    table = by_arm(lines(accuracy(PAPER, 0.20), accuracy(FAST, 0.20), accuracy(MEAN_MAP, 0.20)))
    assert table[PAPER].score == 1.0 and table[FAST].score == pytest.approx(10)
    worse = by_arm(lines(accuracy(PAPER, 0.17), accuracy(FAST, 0.22)))
    assert worse[FAST].score == pytest.approx(5) and worse[FAST].counts == "yes"


def test_no_score_counts_above_the_bar_nor_that_of_the_mean_map():
    table = by_arm(lines(
        accuracy(PAPER, 0.20), accuracy(FAST, 0.2201), accuracy(MEAN_MAP, 0.1)))
    assert (table[PAPER].counts, table[FAST].counts, table[MEAN_MAP].counts) == ("yes", "no", "no")
    assert table[MEAN_MAP].score > 40  # told all the same


def test_folds_are_compared_with_the_paper_on_the_same_fold():
    table = lines(accuracy(PAPER, 0.20, 0), accuracy(FAST, 0.20, 0), accuracy(FAST, 0.20, 1),
                  accuracy("another arm", 0.1))
    found = {(line.arm, line.fold): line.score for line in table}
    assert found[FAST, 0] == pytest.approx(10) and found[FAST, 1] is None
    assert {arm for arm, _ in found} == {PAPER, FAST, MEAN_MAP}  # the last without accuracy


def test_another_training_of_a_graph_has_its_cost_and_a_line_of_its_own(tmp_path):
    table = lines(accuracy(PAPER, 0.2), accuracy(FAST, 0.22), accuracy(f"{FAST}+fine", 0.2))
    found = by_arm(table)
    assert found[f"{FAST}+fine"].time == found[FAST].time == 0.1
    assert (found[f"{FAST}+fine"].score, found[FAST].si_rmse) == (pytest.approx(10), 0.22)
    write_frontier(tmp_path / "a.csv", table)
    assert [line.arm for line in read_frontier(tmp_path / "a.csv")] == [
        PAPER, FAST, f"{FAST}+fine", MEAN_MAP]
    assert len(with_costs(table, COSTS)) == 4


def test_a_line_is_replaced_and_costs_are_renewed(tmp_path):
    path = tmp_path / "frontier.csv"
    write_frontier(path, lines(accuracy(PAPER, 0.20), accuracy(FAST, 0.25)))
    again = scored(with_accuracy(read_frontier(path), [accuracy(FAST, 0.21)]))
    assert by_arm(again)[FAST].si_rmse == 0.21 and len(again) == 3
    cheaper = {arm: dataclasses.replace(cost, time=cost.time / 2) for arm, cost in COSTS.items()}
    assert by_arm(with_costs(again, cheaper))[FAST].time == 0.05
    write_frontier(path, again)
    assert read_frontier(path) == sorted(again, key=lambda line: ARMS.index(line.arm))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="stop16 has no cost yet; give --cost"):
        lines(accuracy("stop16", 0.2))
    (tmp_path / "a.csv").write_text("arm,macs\nstop16,many\n")
    with pytest.raises(UserError, match=r"a\.csv: holds a broken line"):
        read_frontier(tmp_path / "a.csv")


def test_text_and_plot(tmp_path):
    pytest.importorskip("matplotlib")
    table = lines(accuracy(PAPER, 0.2, 0), accuracy(PAPER, 0.21, 1), accuracy(FAST, 0.23, 0))
    rows = [line.split() for line in text(table).splitlines()]
    assert rows[1][:4] == [PAPER, "validation", "2", "0.2050"]
    assert [row[-1] for row in rows] == ["counts", "yes", "no", "-"]
    draw(tmp_path / "frontier.png", table)
    assert (tmp_path / "frontier.png").stat().st_size > 5000


def test_each_arm_is_what_train_py_makes_of_its_flags():
    """The flags of the table are train.py's own."""
    names = {word.split("=")[0].lstrip("-") for arm in LADDER
             for word in shlex.split(network_of(arm))}
    source = (REPOSITORY / "train.py").read_text()
    assert all(f'"{name}"' in source for name in names), names
    assert network_of(FAST) == (
        "--student=student_90m --alpha=0.75 --decoder_stride=16 --grid=96,128")
