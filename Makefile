# The whole of building and testing Hopyard: `make help`. Nothing but Python 3.11 or newer, make and the
# package registries is needed; servers for the tests come from the system's packages, where there are any.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The installer that reads constraints and workspaces quickly; pip only brings it in.
UV     := 0.13.9

# The system's certificates, as pip and everything else here uses them.
export UV_SYSTEM_CERTS ?= true
# As pip does: else the first start of each command compiles for seconds.
export UV_COMPILE_BYTECODE ?= true

CONSTRAINED := $(BIN)/uv pip install --python $(BIN)/python --quiet -c constraints.txt
PACKAGES    := -e "core[notify,oidc,web]" $(patsubst %/pyproject.toml,-e %,$(sort $(wildcard plugins/*/pyproject.toml)))

.DEFAULT_GOAL := help
.PHONY: help setup setup-test-servers demo test coverage lint format types check docs test-installed chaos chaos-smoke bench pictures clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 …')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)

$(VENV)/.installed: $(BIN)/uv constraints.txt core/pyproject.toml plugins/*/pyproject.toml
	$(CONSTRAINED) $(PACKAGES)
	@touch $@

$(VENV)/.developed: $(VENV)/.installed pyproject.toml
	$(CONSTRAINED) -e "plugins/ai[anthropic]" -e "plugins/email[dkim]" -e "plugins/file[office]" \
		-e "plugins/media[diarize]" --group dev
	@touch $@

$(VENV)/.documented: $(VENV)/.installed pyproject.toml
	$(CONSTRAINED) --group docs
	@touch $@

setup: $(VENV)/.developed setup-test-servers ## Install everything for development into .venv

setup-test-servers: ## Install the servers that the tests start, as root on Debian-like systems
	@tests/setup-test-servers

demo: $(VENV)/.installed ## Install what is needed to run, and show what Hopyard does
	$(BIN)/hopyard demo

test: $(VENV)/.developed ## Run all tests; those of a real language model by themselves, since it needs all cores
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/llm
	$(BIN)/pytest tests/llm

coverage: $(VENV)/.developed ## Which branches the packages' own tests reach in their process, about twice as long; ONLY=core/tests/test_x.py
	$(BIN)/pytest -n 3 --dist loadfile $(or $(ONLY),core/tests plugins) --cov --cov-report=term-missing:skip-covered

lint: $(VENV)/.developed ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.developed ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.developed ## Check types, of the tests as well
	$(BIN)/mypy core/src plugins/*/src
	$(BIN)/mypy docs/hopyard_reference
	$(BIN)/mypy tests
	$(BIN)/mypy core/tests
	for plugin in plugins/*; do $(BIN)/mypy $$plugin/tests || exit 1; done

check: lint types ## lint, types, and the rules of who may import what
	$(BIN)/pytest -q tests/structure

docs: $(VENV)/.documented ## Build the documentation into build/docs; a warning is an error
	$(BIN)/sphinx-build -q -b html -W --keep-going -n -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

test-installed: $(VENV)/.developed ## Build all wheels; test each plugin with the core alone, as a user installs it
	$(BIN)/python tests/installed.py

# SEED repeats a run, ONLY=T2,T7 leaves the other faults out; BREAK breaks a part of the product on purpose, which
# must turn it red (docs/reliability.md).
CHAOS := HOPYARD_INTERNAL_SEED=$(SEED) HOPYARD_INTERNAL_BREAK=$(BREAK) HOPYARD_INTERNAL_ONLY=$(ONLY) \
         $(BIN)/pytest tests/chaos -p no:randomly -q -s $(if $(PAIR),-k "$(PAIR)")

chaos-smoke: $(VENV)/.developed ## Kill things on two pairs of database and broker, under 8 minutes; SEED=… BREAK=… ONLY=…
	HOPYARD_INTERNAL_CHAOS=smoke $(CHAOS)

chaos: $(VENV)/.developed ## The whole fault suite on five pairs, about an hour; SEED=… PAIR=…
	HOPYARD_INTERNAL_CHAOS=full $(CHAOS)

pictures: $(VENV)/.developed ## Make the pictures of the dashboard in docs/images anew
	PYTHONPATH=tests $(BIN)/python -m e2e.pictures docs/images

# ONLY=drain,io SYSTEMS=hopyard-postgres,celery runs parts; MORE="--rounds 3 --jobs 5000" (docs/performance.md).
bench: $(VENV)/.developed ## Beside stock Celery and other systems, in 15 minutes; ONLY=… SYSTEMS=… MORE=…
	$(BIN)/python -m benchmarks.bench $(if $(ONLY),--only $(ONLY)) $(if $(SYSTEMS),--systems $(SYSTEMS)) $(MORE)

clean: ## Remove what was built or cached; .venv stays
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
