"""python -m benchmark.training: every part of a step and of an epoch has its line."""

import re

import pytest

from benchmark.training_profile import Part
from benchmark.training_profile import Profile


def test_share_of_the_matrix_product_golden():
    profile = Profile([Part("whole step", 300.0, 600.0)], 10, 32, 4.0, 40.0)
    assert profile.peak_percent == pytest.approx(50)  # 3 * 4 GMAC take 0.3 s at 40 a second


@pytest.mark.slow
def test_the_command_takes_a_training_apart(commands, tiny_data, tmp_path):
    done = commands("-m", "benchmark.training", f"--data_dir={tiny_data}",
                    f"--cache_dir={tmp_path}", "--student=student_28m", "--batch_size=4",
                    "--steps=2")
    assert done.returncode == 0, done.stderr
    parts = re.findall(r"^(\w[\w ]+\w) +\d+\.\d +(\d+\.\d) +\d+\.\d  a (step|epoch)$", done.stdout,
                       re.MULTILINE)
    assert [name for name, _, _ in parts] == [
        "reading", "augmentation", "forward", "backward", "optimizer", "average", "whole step",
        "evaluation", "state and model"]
    assert float(dict((name, cpu) for name, cpu, _ in parts)["whole step"]) > 1
    assert "3 steps of 4 pictures an epoch" in done.stdout.splitlines()[-1]
    assert "% of a matrix product's speed" in done.stdout.splitlines()[-1]
