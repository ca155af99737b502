"""Every numeric flag of every command accepts finite numbers in its range, and nothing else."""

import json
import math
import pathlib
import re
import subprocess
import sys

import pytest
from absl import flags
from conftest import REPOSITORY

from mai_depth import number_flags

ENTRY_FILES = {  # module -> its number flags
    "train": 29,
    "export": 3,
    "mai_depth.data.convert.__main__": 4,
    "mai_depth.data.pack.__main__": 2,
    "benchmark.training": 3,
    "benchmark.peers.training": 5,
    "mai_depth.predict.__main__": 5,
    "mai_depth.calibrate.__main__": 2,
    "mai_depth.live.__main__": 5,
    "benchmark.__main__": 6,
    "benchmark.sheets": 3,
    "benchmark.study.__main__": 1,
    "benchmark.study.eighty_numbers": 1,
    "benchmark.study.folds": 3,
    "benchmark.study.frontier": 1,
    "benchmark.study.gallery": 2,
    "benchmark.study.learning": 2,
}


@pytest.mark.parametrize("module", ENTRY_FILES)
def test_no_flag_takes_a_number_that_is_not_finite_or_out_of_range(module):
    driver = pathlib.Path(__file__).with_name("number_flags_driver.py")
    done = subprocess.run([sys.executable, driver, module], capture_output=True, text=True,
                          check=True, env={"PYTHONPATH": str(REPOSITORY)}, cwd=REPOSITORY)
    found = json.loads(done.stdout)
    for flag in found:
        assert flag["is_key"], flag["name"]  # `train.py` notes its key flags in flags.txt
        low, high = flag["bounds"]
        assert -1e7 <= low < high < 1e11
        for answer in flag["answers"]:
            if "error" in answer:
                assert answer["error"].startswith(f"flag --{flag['name']}={answer['text']}: ")
            else:
                assert all(math.isfinite(number) and low <= number <= high
                           for number in answer["numbers"])
        refused = {answer["text"] for answer in flag["answers"] if "error" in answer}
        assert {"nan", "-nan", "inf", "-inf", "1e308", "-1e308", "9" * 20, "9" * 5000, "-1",
                "many"} <= refused
    assert len(found) == ENTRY_FILES[module]


def test_number_flags_are_defined_by_the_one_helper():
    paths = [path for path in (*REPOSITORY.glob("*.py"), *REPOSITORY.glob("benchmark/**/*.py"),
                               *REPOSITORY.glob("mai_depth/**/*.py"))
             if path.name != "number_flags.py"]
    flag = re.compile(r"flags\.(DEFINE_(multi_)?(float|integer)|DEFINE\b)")
    assert not [str(path) for path in paths if flag.search(path.read_text())]
    defining = {path for path in paths if "number_flags.define_" in path.read_text()}
    known = {REPOSITORY / f"{module.replace('.', '/')}.py" for module in ENTRY_FILES}
    assert defining == known


def test_a_list_of_numbers_is_written_and_read_alike():
    values = flags.FlagValues()
    flags.DEFINE(number_flags._IntegersParser(1, 99, "four whole numbers"), "filters", None, "",
                 values, flags.CsvListSerializer(","))
    values(["x", "--filters=72,48, 24,16"])
    assert values.filters == [72, 48, 24, 16]
    assert values["filters"].serialize() == "--filters=72,48,24,16"
    for text in ("0,1,2,3", "1,2,100,4", "1,x", "1.5", "-1", "1_0"):
        with pytest.raises(flags.IllegalFlagValueError,
                           match=r"give four whole numbers in the range \[1, 99\]"):
            values(["x", f"--filters={text}"])
