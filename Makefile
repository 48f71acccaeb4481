# Two commands do everything: `make reproduce` and `make test`. Both set up the environment first.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
# Requirements installed over the pins, to try other versions: make test OVER="torch==2.11.0 torchvision==0.26.0"
OVER   ?=
# What the training of `make study` is told; see the head of workflow/Snakefile.
STUDY  ?=

BIN     := $(VENV)/bin
RESULTS := $(patsubst ~/%,$(HOME)/%,$(or $(FER_RESULTS),results))
STAMP   := $(VENV)/.installed
export JUPYTER_PREFER_ENV_PATH := 1
export UV_PYTHON_DOWNLOADS := never
# Dozens of processes import the library: each would compile it anew.
unexport PYTHONDONTWRITEBYTECODE
# The workflow's rules call `fer` as a person would.
export PATH := $(abspath $(BIN)):$(PATH)
SNAKEMAKE := $(BIN)/python workflow/unlock.py && $(BIN)/snakemake --snakefile workflow/Snakefile --profile workflow/profiles/local --cores $(JOBS)

.PHONY: help env reproduce report study test heavy docs lint format pins clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: $(STAMP)  ## create .venv with the pinned packages

# Byte-compiling at installation saves seconds in every process that imports torchvision.
$(STAMP): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	$(if $(OVER),$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(OVER))
	touch $@

reproduce: env  ## execute every notebook at smoke scale, rebuild tables, figures and the report
	$(SNAKEMAKE) reproduce

report: env  ## execute every notebook at paper scale from the recorded runs, rebuild the report
	$(SNAKEMAKE) tables
	$(SNAKEMAKE) report --forcerun notebook

study: env  ## train what the study still misses, then as `make report`; STUDY="workers=2 jobs=3 papers=control"
	$(SNAKEMAKE) report --config workers=1 $(STUDY) --forcerun notebook

# Each process takes a run of neighbouring tests, which share what they prepare.
PARALLEL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# nbval executes the executed copies again and compares the outputs that the text relies on. Two notebooks show the
# datasets, which are not everywhere at hand: of these it is the copies on drawn faces.
WITH_DATA := 01_data_exploration 10_what_ckplus_measures
NBVAL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadscope \
  --nbval-lax --nbval-current-env --nbval-cell-timeout 1800 -p no:cacheprovider

test: env  ## the tests, the notebooks' marked outputs included
	$(PARALLEL) -m "not heavy"
	$(SNAKEMAKE) smoke
	$(NBVAL) $(WITH_DATA:%="$(RESULTS)/smoke/executed/%.ipynb")
	[ ! -d "$(RESULTS)/executed" ] || \
	  $(NBVAL) "$(RESULTS)/executed" $(WITH_DATA:%=--ignore "$(RESULTS)/executed/%.ipynb")

heavy: env  ## the tests that need minutes: every net trained, exported and compared
	$(PARALLEL) -m heavy

docs: env  ## build the reference of the library into build/api, and follow the how-tos
	$(BIN)/python docs/reference.py build/api
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) tests/test_howto.py

lint: env  ## what pre-commit checks, and the types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/mypy

format: env  ## let ruff and nbstripout rewrite
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/nbstripout notebooks/*.ipynb

pins: env  ## compile requirements.txt from pyproject.toml's ranges
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --no-header --no-annotate --quiet \
	  --extra all pyproject.toml -o requirements.txt

clean:  ## remove what smoke runs and interrupted work left behind
	rm -rf "$(RESULTS)/smoke" "$(RESULTS)/logs" .snakemake build
