# make lab    set up and run the tour: two sites on this machine, one dies, the other takes over
# make test   set up and run every check and every test
# make setup  set up alone; the command is then .venv/bin/twinsite

.PHONY: help setup lab test check format lock clean
MAKEFLAGS += --no-print-directory --silent

help:
	sed -n 's/^# make/make/p' Makefile

setup:
	PYTHON='$(PYTHON)' tools/setup

lab: setup
	.venv/bin/twinsite lab

# The checks first, so that pytest's summary is the last line. Most tests wait for something, and do so side by
# side; whole labs play alone, because each brings a dozen processes with leases of its own.
test: check
	.venv/bin/python -P -m pytest -q -n 3 --dist loadfile --ignore=tests/lab
	.venv/bin/python -P -m pytest -q tests/lab

check: setup
	.venv/bin/ruff format --check --quiet . || { echo 'check: not formatted; run make format' >&2; exit 1; }
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy --no-error-summary
	layers=$$(.venv/bin/lint-imports 2>&1) || { echo "$$layers" >&2; exit 1; }
	echo 'check: format, lint, types and layers are in order'

format: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

# Writes both lock files anew from pyproject.toml: hashes, no addresses. Any uv will do.
lock:
	tools/lock

clean:
	rm -rf .venv .uv .tools .lab dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
