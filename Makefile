# setup | run | test | serve | api | bench | lint : each does its own set-up on a machine with Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRA ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-all lint bench gpu-check serve api lock manual clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## make the environment (EXTRA=gpu: torch and faiss for CUDA)
ifeq ($(EXTRA),gpu)
	$(BIN)/python infra/gpu_packages.py
endif

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 or pass PYTHON=..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

run: $(READY)  ## the whole pipeline on the built-in synthetic shop
	$(BIN)/python -m flows run --config conf/demo.yaml

test: $(READY)  ## the default tests
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

test-slow: $(READY)  ## the slow tests: kills and crashes, the UI, a cluster, S3, secrets, the README's figures
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --durations=25

test-all: $(READY)  ## both tiers
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m "slow or not slow"

lint: $(READY)  ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measurements against peers (minutes)
	$(BIN)/python -m tests.bench

# On a bare machine with torch and transformers there is no .venv, and no network to make one.
gpu-check:  ## is it right and how fast on this machine's GPU (within 8 minutes; OUT=folder for gpu_check.json)
	PYTHONPATH=. $(if $(wildcard $(BIN)/python),$(BIN)/python,python3) -m tests.bench.gpu_check $(if $(OUT),--out $(OUT))

serve: $(READY)  ## Prefect server and UI with the retrain deployment, until Ctrl-C
	$(BIN)/python -m flows serve

api: $(READY)  ## recommendations over HTTP with the model in service, until Ctrl-C
	$(BIN)/python -m flows api

lock: $(READY)  ## resolve the dependencies anew
	$(BIN)/python infra/lock.py

manual: $(READY)  ## regenerate conf/README.md and the table of docs/ranking.md
	$(BIN)/python -m flows settings --write conf/README.md
	$(BIN)/python -m genrec.rank.features.parts.document docs/ranking.md

clean:  ## remove the environment (artifacts in .genrec stay)
	rm -rf $(VENV)
