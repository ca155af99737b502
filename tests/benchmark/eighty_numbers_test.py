"""benchmark.study.eighty_numbers: averages of blocks, the table, the plot from it alone."""

import numpy as np
import pytest

from benchmark.study.averaged_maps import COLUMNS
from benchmark.study.averaged_maps import FORMS
from benchmark.study.averaged_maps import METRICS
from benchmark.study.averaged_maps import averaged
from benchmark.study.averaged_maps import lines_of


def test_averages_by_hand():
    """Two blocks, 1 and 3: between their centres the map goes from one to the other."""
    depth = np.array([[1.0, 1.0, 2.0, 4.0]])
    np.testing.assert_allclose(averaged(depth, (1, 2)), [[1.0, 1.5, 2.5, 3.0]])


def test_holes_have_no_part():
    depth = np.array([[1.0, 0.0, 0.0, 0.0, 3.0, 5.0]])
    np.testing.assert_allclose(averaged(depth, (1, 3))[0, [0, 5]], [1.0, 4.0])
    np.testing.assert_allclose(averaged(depth, (1, 3))[0, 2:4].mean(), 2.5, atol=1e-6)  # of 1, 4


@pytest.mark.parametrize("size", [(16, 20), (8, 10)])
def test_a_plain_map_stays_and_coarser_is_smoother(size):
    np.testing.assert_allclose(averaged(np.full((480, 640), 2.0), size), 2.0)
    noise = np.random.default_rng(0).uniform(1, 3, (480, 640))
    assert averaged(noise, size).std() < 0.05 < noise.std()


def test_lines_tell_the_change_against_the_map_as_it_is():
    plain = np.full((20, 3), 0.2)
    plain[0, 2] = np.nan  # a picture without a true edge
    measured = {("a", "as it is"): plain, ("a", "8x10"): plain + 0.01}
    lines = list(lines_of(measured, 5))
    assert [tuple(line) for line in lines] == [COLUMNS] * 6
    assert {line["metric"]: line["images"] for line in lines} == dict(
        zip(METRICS, (20, 20, 19), strict=True))
    last = lines[3]
    assert (last["form"], last["value"], last["change"]) == ("8x10", "0.2100", "0.0100")
    assert last["change_low"] == last["change_high"] == "0.0100"


def test_the_command_measures_and_draws_again(tmp_path, tiny_data, commands):
    pytest.importorskip("matplotlib")
    output = tmp_path / "numbers.csv"
    settings = [f"--output={output}", "--block=2"]
    done = commands("-m", "benchmark.study.eighty_numbers", f"--data_dir={tiny_data}",
                    "--model=nyuv2_student_28m", *settings)
    assert done.returncode == 0, done.stderr
    lines = output.read_text().splitlines()
    assert len(lines) == 1 + 3 * len(FORMS) * len(METRICS)
    assert any(line.startswith("truth,as it is,si_rmse,6,0.0000") for line in lines)
    picture = output.with_suffix(".png")
    picture.unlink()
    again = commands("-m", "benchmark.study.eighty_numbers", "--only_plot", *settings)
    assert again.returncode == 0 and picture.stat().st_size > 5000
    assert again.stdout == done.stdout
    wrong = commands("-m", "benchmark.study.eighty_numbers", *settings)
    assert wrong.returncode == 1 and "--data_dir: give the folder" in wrong.stderr
