# The one entry for what a change must pass: make check. In a new environment: .ci/run.
PYTHON ?= python

.PHONY: check lint types test slow docs

check: lint types test docs

lint:
	ruff check .

types:
	mypy

test:  # two files at a time; a file's tests share what they built
	$(PYTHON) -m pytest -q -n 2 --dist loadfile

slow:
	$(PYTHON) -m pytest -q --slow -m slow

docs:  # build/api/mai_depth.html
	$(PYTHON) docs/api.py
