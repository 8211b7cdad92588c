# `make lab` opens the first lab in JupyterLab, `make test` runs every test; `make help` lists the rest.

SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
LAB   ?= lab1_odes_sdes
ARGS  ?=
PIP   := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# the first of these that exists and is new enough makes the environment; PYTHON=... names another
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

.PHONY: help lab test build site check bench format clean

help:
	@echo "make lab    set up what a student needs and open JupyterLab on $(LAB)"
	@echo "            (make lab LAB=... opens another lab; ARGS=\"--no-browser --port 9999\" is passed on)"
	@echo "make test   set up what tests need and run them all"
	@echo "make build  rebuild every lab from its source in solutions/"
	@echo "make site   build the site into build/site from the executed solutions"
	@echo "make check  lint, format, types, and whether a generated file is stale"
	@echo "make bench  run the benchmarks"
	@echo "make clean  remove the environment"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; install one, or name it: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13, one of which is needed"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed-lab: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the course and JupyterLab (PyTorch is large: some minutes the first time) ..."
	@$(PIP) -e ".[lab]" || { echo "The installation failed: is there a network connection and some 2 GB of free disk space?"; exit 1; }
	@touch $@

$(VENV)/installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the course with everything that tests need (PyTorch is large: some minutes the first time) ..."
	@$(PIP) -e ".[test]" || { echo "The installation failed: is there a network connection and some 3 GB of free disk space?"; exit 1; }
	@# a peer to compare with, which asks for far more than the parts we compare need
	@$(PIP) --no-deps torchcfm
	@touch $@

$(VENV)/installed-site: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the course with what builds its site (PyTorch is large: some minutes the first time) ..."
	@$(PIP) -e ".[site]" || { echo "The installation failed: is there a network connection and some 2 GB of free disk space?"; exit 1; }
	@touch $@

lab: $(VENV)/installed-lab
	@test -f labs/$(LAB)/$(LAB).ipynb || { echo "There is no lab called $(LAB); the labs are:" $$(ls labs); exit 1; }
	@options="$(ARGS)"; \
	if [ "$$(id -u)" = 0 ]; then options="--allow-root $$options"; fi; \
	if [ "$$(uname)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then options="--no-browser $$options"; fi; \
	exec $(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/labs/$(LAB)/$(LAB).ipynb $$options

test: $(VENV)/installed-test
	@# a module's tests stay together, on one core, and the modules in the order of tests/conftest.py
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

build: $(VENV)/installed-test
	@$(BIN)/python -m autograder.build

site: $(VENV)/installed-site
	@$(BIN)/python site/build.py

check: $(VENV)/installed-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m autograder.build --check

bench: $(VENV)/installed-test
	@$(BIN)/python -m benchmarks

format: $(VENV)/installed-test
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	@rm -rf $(VENV)
