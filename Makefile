# The main targets are `make demo` and `make test`. `make help` lists all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-reliability test-browser test-newest test-cluster test-stores test-servers test-engines notebooks lint types format dist size docs pictures bench bench-server mutate import-time bench-leaks bench-batches bench-processes test-wheel test-frameworks test-agents clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## ask about a photograph and a chart through LangChain and LlamaIndex
	@$(BIN)/python examples/demo

test: $(READY) ## run the test suite (ARGS="-k stream" to choose)
	$(BIN)/pytest -n auto $(ARGS)

RELIABILITY := $(addprefix tests/, core/network core/figures core/exchange/test_flow.py core/exchange/test_gate.py core/test_properties.py \
  core/exchange/test_retry.py core/wire/test_sse.py contract/test_canary.py emulator/server/test_abuse.py emulator/faults/test_faults.py \
  emulator/faults/test_verdicts.py langchain/test_langchain_model_features.py langchain/test_langchain_errors.py \
  langchain/test_langchain_streams.py llama_index/test_llama_events.py llama_index/test_llama_responses.py)
TIMES := 1
test-reliability: $(READY) ## only the tests of faults, limits and keys (TIMES=50 repeats them up to the first failure)
	@for run in $$(seq $(TIMES)); do $(BIN)/pytest -q -n auto $(RELIABILITY) $(ARGS) || exit 1; done

ROOT := $(shell test "$$(id -u)" = 0 || echo sudo)
test-browser: $(READY) ## the tests that need Chromium (installs Debian's package if it is missing)
	@command -v chromium >/dev/null || { $(ROOT) apt-get update -qq && \
	  $(ROOT) apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e ".[all,eyes]" --group browser
	$(BIN)/pytest -m browser $(ARGS)

# The newest installed CPython; versions of pyenv need not be on PATH.
NEWEST := .venv-newest
PYENV_BIN := $(subst $(eval ) ,:,$(wildcard $(HOME)/.pyenv/versions/*/bin))
test-newest: $(READY) ## the test suite on the newest installed Python, in a separate environment
	@found=; for version in 3.15 3.14 3.13 3.12; do \
	  found=$$(PATH="$$PATH:$(PYENV_BIN)" $(BIN)/uv python find --no-python-downloads $$version 2>/dev/null) && break; done; \
	if [ -z "$$found" ]; then echo "No Python newer than 3.11 is installed."; exit 0; fi; \
	echo "The tests run on $$($$found --version)."; \
	$(BIN)/uv venv --quiet --clear --python "$$found" $(NEWEST) && \
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python $(INSTALL) && \
	$(NEWEST)/bin/pytest -n auto $(ARGS)

CLUSTER := .venv-ray
test-cluster: $(READY) ## the tests on a local Ray cluster, in a separate environment (600 MB)
	@test -x $(CLUSTER)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(CLUSTER)
	@$(BIN)/uv pip install --quiet --python $(CLUSTER)/bin/python -e ".[ray,langchain,llama-index,emulator]" \
	  'pytest>=8.3' 'pytest-asyncio>=1.0'
	$(CLUSTER)/bin/pytest tests/batch/test_ray.py $(ARGS)

STORES := .venv-stores
test-stores: $(READY) ## the tests with Qdrant, Chroma and LanceDB, in a separate environment (1 GB)
	@test -x $(STORES)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(STORES)
	@$(BIN)/uv pip install --quiet --python $(STORES)/bin/python -e ".[llama-index,langchain,images,emulator]" --group stores
	$(STORES)/bin/pytest -n auto tests/stores $(ARGS)

AGENTS := .venv-agents
test-agents: $(READY) ## the examples of docs/agents.md with deepagents and MCP, in an environment of its own
	@test -x $(AGENTS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(AGENTS)
	@$(BIN)/uv pip install --quiet --python $(AGENTS)/bin/python $(INSTALL) --group agents
	$(AGENTS)/bin/pytest -m agents tests/examples $(ARGS)

SERVERS := .venv-servers
MITMPROXY := .venv-mitmproxy
test-servers: $(READY) ## the tests through LiteLLM, nginx and forward proxies (WRITE=1 writes the tables of docs/servers.md)
	@for name in nginx squid tinyproxy microsocks; do PATH=$$PATH:/usr/sbin command -v $$name >/dev/null || missing=1; done; \
	test -z "$$missing" || { $(ROOT) apt-get update -qq && \
	  $(ROOT) apt-get install -y -qq --no-install-recommends nginx-light squid tinyproxy microsocks >/dev/null; }
	@test -x $(SERVERS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(SERVERS)
	@$(BIN)/uv pip install --quiet --python $(SERVERS)/bin/python 'litellm[proxy]>=1.91.5'
	@test -x $(MITMPROXY)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(MITMPROXY)
	@$(BIN)/uv pip install --quiet --python $(MITMPROXY)/bin/python 'mitmproxy>=11'
	WRITE=$(WRITE) $(BIN)/pytest -m servers tests/servers $(ARGS)

# pip installs torch; its settings can select a build for the CPU, as can TORCH="torch --index-url ..." here.
# The engines are installed without their dependencies (CUDA), except those that the modules with their classes import.
ENGINES := .venv-engines
TORCH ?= torch==2.13.0
IMPORTED := aiohttp cachetools cbor2 cloudpickle ipython msgspec openai-harmony orjson prometheus-client py-cpuinfo pybase64 \
  pyzmq requests triton uvloop
test-engines: $(READY) ## the tests with transformers serve and the classes of vLLM and SGLang (2 GB; not in CI)
	@test -x $(ENGINES)/bin/pip || $(PYTHON) -m venv $(ENGINES)
	@$(ENGINES)/bin/python -c 'import torch' 2>/dev/null || $(ENGINES)/bin/pip install --quiet $(TORCH)
	@$(BIN)/uv pip install --quiet --python $(ENGINES)/bin/python 'transformers[serving]>=5' 'pillow>=12' $(IMPORTED)
	@$(BIN)/uv pip install --quiet --python $(ENGINES)/bin/python --no-deps vllm sglang
	$(ENGINES)/bin/python tests/engines/tokens.py $(if $(WRITE),--write)
	WRITE=$(WRITE) $(BIN)/pytest -m engines tests/servers $(ARGS)

FRAMEWORKS := .venv-frameworks
test-frameworks: $(READY) ## other agent frameworks through LiteLLM, each alone (WRITE=1 writes docs/frameworks.md; not in CI)
	@$(BIN)/python tests/frameworks/run.py $(if $(WRITE),--write) $(ARGS)

notebooks: $(READY) ## run all notebooks afresh (WRITE=1 keeps the outputs, ARGS="video rag" chooses)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -e ".[all,eyes]" --group notebooks
	@$(BIN)/python notebooks/run.py $(if $(WRITE),--write) $(ARGS)

# A page of the documentation shows 88 columns of code.
PAGES := --line-length 88 README.md README.zh-CN.md $(filter-out docs/reference/%,$(wildcard docs/*.md docs/*/*.md))
lint: $(READY) ## ruff: rules and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/ruff format --check $(PAGES)

format: $(READY) ## ruff: fix problems and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/ruff format $(PAGES)

types: $(READY) ## mypy --strict on the packages; mypy and pyright on a user's program with all public names
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/typing/mypy.ini tests/typing/program.py
	$(BIN)/mypy --config-file tests/typing/mypy-plugin.ini tests/typing/program.py
	$(BIN)/pyright --project tests/typing --pythonpath $(BIN)/python

dist: $(READY) ## build the wheel and the source archive into dist/, and check what a package index will show of them
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group release
	$(BIN)/twine check --strict dist/*
	@ls dist

test-wheel: dist ## install the wheel in an empty environment, and ask about a picture in two commands
	$(BIN)/pytest -m wheel tests/packaging $(ARGS)

size: ## lines of code of each package, beside the aims
	@$(PYTHON) benchmarks/size.py

docs: $(READY) ## build the documentation into site/; warnings are errors
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pictures: $(READY) ## retake the README's screenshots of the terminal and the emulator's page (needs Chromium, see test-browser)
	$(BIN)/python docs/terminal.py
	$(BIN)/python docs/emulator_page.py

bench: $(READY) ## measure calls and chunks against bare httpx and other clients; writes docs/performance.md
	$(BIN)/python benchmarks/run.py
	$(BIN)/python docs/figures.py

bench-server: $(READY) ## measure how pictures delay other users of a server; writes its part of docs/performance.md
	$(BIN)/python benchmarks/event_loop.py

MUTANTS := 60
mutate: $(READY) ## mutation tests: change the deciding modules and check that their tests fail (more than an hour)
	$(BIN)/python -m tests.mutation.run --most $(MUTANTS) --write $(ARGS)

bench-leaks: $(READY) ## memory and open files of a server over 10,000 pictures; takes hours (ARGS="--megapixels 0.15": minutes)
	@$(BIN)/python benchmarks/event_loop.py --leaks $(ARGS)

bench-batches: $(READY) ## a batch run with kills, a full disk, an outage and rate limits (ten minutes)
	$(BIN)/python benchmarks/batches.py $(ARGS)

bench-processes: $(READY) ## several processes on one account, compared with the openai SDK; writes its part of docs/reliability.md
	$(BIN)/python benchmarks/processes.py

import-time: $(READY) ## time of `import glmv`, compared with `import httpx, pydantic`
	@$(BIN)/python benchmarks/run.py --task import

clean: ## remove what the other targets made
	rm -rf $(VENV) $(CLUSTER) $(NEWEST) $(STORES) $(AGENTS) $(SERVERS) $(MITMPROXY) $(ENGINES) $(FRAMEWORKS) .contract dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

# uv installs in seconds; if it is missing or finds no index, pip is used instead.
# pip supports dependency groups since 25.1, so it is upgraded first.
# EXTRAS=all,eyes installs the models with which the emulator reads text, about 170 MB.
EXTRAS ?= all
INSTALL := -e ".[$(EXTRAS)]" --group dev
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "glmv needs Python 3.11 or later; choose one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/pip || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing glmv and what its tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "uv cannot be had, pip goes on alone"
	@{ test -x $(BIN)/uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(INSTALL); } || \
	  { $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' && \
	    $(BIN)/python -m pip install --quiet $(INSTALL); }
	@touch $@
