# Commands of a checkout. Everything runs in .venv, which `make setup` makes.
# Another Python for it: make PYTHON=python3.12 setup

PYTHON ?= python3
BIN := .venv/bin
CHECKED := roboadapt_ros test tools launch setup.py

.DEFAULT_GOAL := help
.PHONY: help setup peers demo test test-core test-models test-ros faults check lint type format lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Make .venv, install what is pinned, compile the messages (again: under 2 s)
	@$(PYTHON) tools/setup

# Their pins and ours exclude each other, so they get an environment of their own; what we have in
# common (torch, timm, numpy) is taken from .venv, which comes after it on the path.
SITE = import sysconfig; print(sysconfig.get_path("purelib"))

peers: setup  ## peft and adapters in .build/peers, for the benchmarks to compare with
	$(BIN)/python -m venv --clear --without-pip .build/peers
	$(BIN)/python -m pip --python .build/peers/bin/python install --no-deps -r requirements-peers.txt
	$(BIN)/python -c '$(SITE)' > "$$(.build/peers/bin/python -c '$(SITE)')/project.pth"

demo: setup  ## The whole graph on a simulated rig
	@$(BIN)/roboadapt demo

test: setup  ## All tests
	$(BIN)/python -m pytest test

test-core: setup  ## Tests of the core: no ROS, a minute on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile test/core test/test_layering.py

test-models: setup  ## Tests that build, convert, export and fuzz models: minutes
	$(BIN)/python -m pytest test/models

test-ros: setup  ## Tests of nodes and whole graphs
	$(BIN)/python -m pytest test/ros $(wildcard test/launch)

faults: setup  ## Break each process and stream of a moving graph; print what came of it (minutes)
	rm -f .build/faults.md
	ROBOADAPT_FAULT_TABLE=.build/faults.md $(BIN)/python -m pytest -q test/ros/test_fault_*.py
	@cat .build/faults.md

check: lint type  ## lint and type

lint: setup  ## ruff: rules and format
	$(BIN)/ruff check $(wildcard $(CHECKED))
	$(BIN)/ruff format --check $(wildcard $(CHECKED))

type: setup  ## mypy on the core
	$(BIN)/mypy

format: setup  ## ruff: sort imports, fix and format
	$(BIN)/ruff check --fix $(wildcard $(CHECKED))
	$(BIN)/ruff format $(wildcard $(CHECKED))

lock: setup  ## Write requirements-lock.txt anew after a change of requirements
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate \
	  --custom-compile-command 'make lock' --output-file requirements-lock.txt \
	  requirements.txt requirements-ros.txt

clean:  ## Remove what was built, the environment too (runs/ and models/ stay)
	rm -rf .venv .build build install log *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find $(wildcard $(CHECKED)) -name __pycache__ -prune -exec rm -rf {} +
