# Everything needs only Python 3.11 or newer (with pip and venv) and make.
#
#   make demo     a talking video from a photograph: demo.mp4  (FACE=me.jpg AUDIO=hello.wav OUT=me.mp4 to use your own)
#   make test     the test suite                               (ARGS="tests/cli -k help" to choose)
#   make lint     ruff and mypy
#   make bench    where the time goes
#   make docs     the documentation as a site: site/index.html
#   make setup    .venv with everything that tests and development need
#   make clean    remove what these targets made, environments included

PYTHON ?= python3
JOBS ?= 2
OUT ?= demo.mp4
ARGS ?=
EXTRAS := dev,docs,demo,models,openvino,tts,web

VENV := .venv
SETUP := $(VENV)/.installed
# The demo uses the full environment where there is one, else a smaller one of its own.
DEMO_VENV := $(if $(wildcard $(SETUP)),$(VENV),.venv-demo)
DEMO_SETUP := $(DEMO_VENV)/.installed

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup demo test lint format bench docs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//; 1,9p' Makefile

setup: $(SETUP)

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "talkinghead needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; \
	echo "Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef

.venv/.installed: pyproject.toml constraints.txt
	$(check_python)
	@echo "Installing into .venv (several hundred megabytes, a few minutes) ..." >&2
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP_INSTALL) --editable ".[$(EXTRAS)]"
	@touch $@

.venv-demo/.installed: pyproject.toml constraints.txt
	$(check_python)
	@echo "Installing into .venv-demo (under a minute with a fast connection) ..." >&2
	@test -x .venv-demo/bin/python || $(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(PIP_INSTALL) --editable ".[demo]"
	@touch $@

demo: $(DEMO_SETUP)
	$(DEMO_VENV)/bin/talkinghead demo $(if $(FACE),--face "$(FACE)") $(if $(AUDIO),--audio "$(AUDIO)") -o "$(OUT)"

# Two processes share the machine, so each keeps its libraries to one thread; `large` tests run alone afterwards.
# pytest says 5 when no test was selected, which is no failure here.
test: $(SETUP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(JOBS) -m "not large" $(ARGS)
	$(VENV)/bin/python -m pytest -m large $(ARGS) || test $$? -eq 5

lint: $(SETUP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(SETUP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/python scripts/write_help.py

bench: $(SETUP)
	$(VENV)/bin/talkinghead bench viseme $(ARGS)

docs: $(SETUP)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --quiet
	@echo "site/index.html" >&2

clean:
	rm -rf .venv .venv-demo build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
