"""The table of faults names tests that exist, and has every row."""

import ast
import pathlib
import re

TESTS = pathlib.Path(__file__).resolve().parent
ROWS = 122


def rows():
    """The table's rows: number, tests, what is provoked, the answer."""
    for line in (TESTS / "faults.md").read_text().splitlines():
        if re.match(r"\| \d", line):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_fault_has_one_row():
    assert [int(row[0]) for row in rows()] == list(range(1, ROWS + 1))
    assert all(len(row) == 4 and all(row) for row in rows())


def test_every_named_test_exists():
    named = {name for row in rows() for name in re.findall(r"`(\w+::\w+)`", row[1])}
    assert len(named) > ROWS
    defined = {
        f"{path.stem}::{node.name}"
        for path in TESTS.rglob("*_test.py") for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)}
    assert not named - defined


def test_every_row_names_a_test():
    assert all(re.search(r"`\w+_test::test_\w+`", row[1]) for row in rows())
