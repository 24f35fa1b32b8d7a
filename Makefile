# Two commands for a fresh machine: `make demo`, then `make test`. Both may be run again and again.
PYTHON ?= $(shell command -v python3.11 || command -v python3.13 || command -v python3)
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/.demo-installed
	$(BIN)/janus demo --out demo-out

test: .venv/.test-installed
	$(BIN)/python -m pytest

check: .venv/.test-installed
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Janus needs Python 3.11 or 3.13: apt install python3 python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	touch $@

.venv/.test-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo,tflite-runtime,workstation,dev]'
	touch $@ .venv/.demo-installed

clean:
	rm -rf .venv .venv-edge-* demo-out build *.egg-info
