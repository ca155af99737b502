"""benchmark.study.folds: every picture validates once, and no neighbour of it trains."""

import subprocess
import sys

from benchmark_graphs import assert_one_line
from conftest import REPOSITORY

from benchmark.study.folds import divide


def test_every_picture_validates_once_and_none_beside_it_trains():
    seen = []
    for fold in range(5):
        train, validation = divide(683, fold, folds=5, blocks=4, dropped=2)
        assert not set(train) & {index + step for index in validation for step in range(-2, 3)}
        assert len(train) + len(validation) >= 683 - 4 * 4
        seen += validation
    assert sorted(seen) == list(range(683))


def test_a_small_one_by_hand():
    assert divide(8, 0, folds=2, blocks=2, dropped=1) == ([7], [0, 1, 4, 5])
    assert divide(8, 1, folds=2, blocks=2, dropped=0) == ([0, 1, 4, 5], [2, 3, 6, 7])


def run(*flags):
    return subprocess.run([sys.executable, "-m", "benchmark.study.folds", *flags], cwd=REPOSITORY,
                          capture_output=True, text=True, timeout=100)


def test_the_command_links_the_pairs(tiny_data, tmp_path):
    flags = (f"--data_dir={tiny_data}", f"--output={tmp_path / 'folds'}", "--folds=2",
             "--blocks=2", "--dropped=1")
    done = run(*flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "fold 0: 3 for training, 6 for validation"
    for fold in "01":
        for split in ("train", "validation"):
            names = [{path.stem for path in (tmp_path / "folds" / fold / split / kind).iterdir()}
                     for kind in ("rgb", "depth")]
            assert names[0] == names[1] and names[0]
    assert_one_line(run(*flags), "exists; give another folder")
