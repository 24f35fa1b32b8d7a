# Two commands for a fresh machine: `make demo`, then `make test`. Both may be run again and again.
# A shim on PATH may not work, and Debian splits venv off: ask each.
PYTHON ?= $(shell for p in python3.11 python3.13 python3; do \
	$$p -c 'import venv, ensurepip' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.PHONY: demo test test-slow check wheelhouse deb image clean

demo: .venv/.demo-installed
	$(BIN)/janus demo --out demo-out

test: .venv/.test-installed
	$(BIN)/python -m pytest -m "not slow"

# The rest, such as the whole demo and kill -9; .ci/run calls both.
test-slow: .venv/.test-installed
	$(BIN)/python -m pytest -m slow

check: .venv/.test-installed
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Janus needs Python 3.11 or 3.13: apt install python3 python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo]'
	touch $@

.venv/.test-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo,tflite-runtime,workstation,onnx,dev]'
	touch $@ .venv/.demo-installed

# For the door itself: docs/service.md, docs/flash.md. The first needs a network, the others its wheels.
wheelhouse:
	scripts/wheelhouse dist/wheelhouse

deb: | dist/wheelhouse
	scripts/deb dist/wheelhouse dist

image: | dist/wheelhouse
	scripts/flash_kit dist/wheelhouse dist

dist/wheelhouse:
	scripts/wheelhouse $@

clean:
	rm -rf .venv .venv-edge-* demo-out build dist *.egg-info
