# `make demo` and `make test` are all a newcomer needs: each makes the environment in .venv by itself.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?=
OUT    ?= output/demo
EXTRAS ?= cpu,vdl
# tests that compare with PyTorch run where it is installed: make test TEST_PACKAGES=torch
TEST_PACKAGES ?=
PYTEST_ARGS ?=

.PHONY: demo test test-slow test-reference test-paddle26 lint clean help

help:            ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## / — /'

demo: $(VENV)/.core        ## data set → doctor → train → score → export → map (DATA=DIR takes the Dubai images instead)
	$(BIN)/python tools/demo.py --out $(OUT) $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.dev         ## the whole quick suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: $(VENV)/.dev    ## what takes minutes; the weekly job runs it
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-reference: $(VENV)/.dev ## every encoder against PyTorch's packages; the weekly job runs it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[reference]"
	$(BIN)/python -m pytest -m reference $(PYTEST_ARGS)

test-paddle26:             ## the smoke suite for PaddlePaddle 2.6.2, in an environment of its own
	$(PYTHON) -m venv $(VENV)-paddle26
	$(VENV)-paddle26/bin/python -m pip install --quiet --disable-pip-version-check -e . "paddlepaddle==2.6.2" "numpy<2" "pytest>=8" "hypothesis>=6.100"
	$(VENV)-paddle26/bin/python -m pytest -m paddle26 $(PYTEST_ARGS)

lint: $(VENV)/.dev         ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:           ## remove the environment and everything made by demo and tests
	rm -rf $(VENV) output test_tipc/output test_tipc/data

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" $(TEST_PACKAGES)
	@touch $@ $(VENV)/.core
