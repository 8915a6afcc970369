# Two commands: `make demo` and `make test`. Each does all its own set-up, as does `make test-slurm`, which installs Slurm.
PYTHON ?= python3.11
CORES ?= $(shell nproc)
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/snakemake --profile profiles/default --cores $(CORES)
LOCK_HASH := $(shell sha256sum requirements.lock | cut -c1-20)
READY := $(VENV)/.ready-$(LOCK_HASH)

.PHONY: help setup demo haxby test test-unit test-slurm lint lock reference clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## .venv with the versions of requirements.lock; nothing to do when its hash matches

$(READY):
	$(or $(shell command -v $(PYTHON)),python3) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## the miniature: simulated NSD of four subjects -> results/demo/report.html
	$(BIN)/mindeye2 simulate --config config/demo.yaml
	$(RUN) --configfile config/demo.yaml
	@echo "open results/demo/report.html"

haxby: setup  ## real fMRI: Haxby et al. 2001, one slice -> results/haxby/report.html
	$(RUN) --configfile config/haxby.yaml
	@echo "open results/haxby/report.html"

test: lint test-unit  ## lint, unit, parity and workflow tests
	$(BIN)/pytest -n $(CORES) --dist loadfile tests/workflow

test-unit: setup  ## the quick ones, unit and parity, as many at once as there are cores
	$(BIN)/pytest -n $(CORES) --dist loadfile tests/unit tests/parity

test-slurm: setup  ## the workflow on a real Slurm of one node with fake GPUs; installs Slurm's Debian packages
	tests/workflow/slurm/one_node.sh install
	tests/workflow/slurm/one_node.sh run $(BIN)/pytest -m slurm tests/workflow/slurm

lint: setup  ## ruff and snakefmt; snakemake --lint runs with the workflow tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow

lock: setup  ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile --quiet --extra dev --python-version 3.11 --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock

reference: setup  ## write config/README.md from the settings' docstrings
	$(BIN)/python -c 'from mindeye2.reference import config_reference as r; print(r(), end="")' > config/README.md

clean:  ## remove what the workflow made here; the store stays
	rm -rf .plan .stamps .snakemake logs benchmarks results
