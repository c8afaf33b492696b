# Every target does all of its own set-up and is safe to repeat. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CORES ?= all

# The first interpreter of a supported version that really runs and can make environments.
define FIND_PYTHON
for p in python3.12 python3.11 python3; do \
  if $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; \
  then echo $$p; break; fi; \
done
endef

.PHONY: help
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "GaitLoom needs Python 3.11 or 3.12 with its venv module; install one (Debian, Ubuntu: apt install python3 python3-venv)." >&2; \
	  exit 1; \
	fi; \
	rm -rf $(VENV); "$$python" -m venv $(VENV)

$(VENV)/.core: envs/core.txt pyproject.toml | $(BIN)/python
	$(PIP) install --no-deps --require-hashes -r envs/core.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: envs/dev.txt $(VENV)/.core
	$(PIP) install --no-deps --require-hashes -r envs/dev.txt
	@touch $@

$(VENV)/.torch: envs/torch.txt $(VENV)/.core
	$(PIP) install torch==2.13.0 torchvision==0.28.0
	$(PIP) install --no-deps --require-hashes -r envs/torch.txt
	@$(BIN)/python -c "import triton" 2>/dev/null || $(PIP) install --no-deps triton==3.7.0  # PyTorch for CUDA has it
	@touch $@

.PHONY: env-torch
env-torch: $(VENV)/.torch  ## add torch, ultralytics, ptlflow and rtmlib, for the backends that need them

# Without a GPU in sight detectron2 builds no CUDA operators: DensePose uses none, and they would need nvcc.
$(VENV)/.densepose: envs/densepose.txt envs/detectron2.txt $(VENV)/.torch
	$(PIP) install --no-deps --require-hashes -r envs/densepose.txt
	CUDA_VISIBLE_DEVICES= $(PIP) install --no-deps --no-build-isolation -r envs/detectron2.txt
	@touch $@

.PHONY: env-densepose
env-densepose: $(VENV)/.densepose  ## add detectron2 and its DensePose, built from their source

.PHONY: env
env: $(VENV)/.core  ## make the environment from its lock

data/demo.mp4: | $(VENV)/.core
	$(BIN)/python -m gaitloom.demo $@

.PHONY: demo
demo: $(VENV)/.core data/demo.mp4  ## run the whole workflow on a real clip
	@$(BIN)/gaitloom unlock
	$(BIN)/snakemake --cores $(CORES) --quiet rules
	@$(BIN)/gaitloom status
	@echo
	@echo "store          results/store.zarr"
	@for video in results/preview/*/*.mp4; do echo "preview video  $$video"; done
	@echo "contact sheet  results/contact.png"
	@echo "ledger         results/ledger.tsv"
	@echo "gait table     results/gait.tsv"
	@echo "QC table       results/qc.tsv"
	@[ ! -f results/audit.tsv ] || echo "audits         results/audit.tsv"
	@[ ! -f results/review/index.html ] || echo "review page    results/review/index.html"

CONFIG_HOME := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)
.PHONY: profiles
profiles:  ## link the profiles into your Snakemake folder, for `snakemake --profile slurm`
	@mkdir -p $(CONFIG_HOME)/snakemake
	@for profile in $(filter-out default,$(notdir $(wildcard profiles/*))); do \
	  ln -sfn $(CURDIR)/profiles/$$profile $(CONFIG_HOME)/snakemake/$$profile; done

.PHONY: lint
lint: $(VENV)/.dev  ## check style, types, spelling and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

.PHONY: test
test: $(VENV)/.dev  ## run the tests
	$(BIN)/pytest -n 2 -m "not slow and not cluster"

.PHONY: test-full
test-full: $(VENV)/.dev  ## run the tests, the slow ones too
	$(BIN)/pytest -n 2 -m "not cluster"

.PHONY: test-slurm
test-slurm: $(VENV)/.dev  ## run the tests on a real Slurm; as root, installs Debian's packages for it
	-$(BIN)/python tests/cluster/slurm.py install
	$(BIN)/pytest -n 2 tests/cluster/test_slurm.py

.PHONY: test-ray
test-ray: $(VENV)/.dev  ## run the tests on real Rays; as root, also over three hosts in network namespaces
	$(BIN)/pytest tests/cluster/test_ray.py

.PHONY: bench
bench: $(VENV)/.dev data/demo.mp4  ## measure against peers in the same run; prints JSON
	for b in benchmarks/bench_*.py; do $(BIN)/python $$b; done

.PHONY: schema
schema: $(VENV)/.core  ## export the configuration's JSON Schema
	$(BIN)/gaitloom schema > config/schema.json

UV := $(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
      --no-annotate --no-header --no-emit-index-url --generate-hashes --upgrade
.PHONY: lock
lock: $(VENV)/.core  ## resolve the locks again
	$(PIP) install uv
	$(UV) --override envs/overrides.txt envs/core.in -o envs/core.txt
	$(UV) --override envs/dev-overrides.txt envs/dev.in -o envs/dev.txt
	$(UV) --no-deps envs/torch.in -o envs/torch.txt
	$(UV) --no-deps envs/densepose.in -o envs/densepose.txt
