# `make demo` shows the whole thing; `make test` checks it. Both set up all they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Without bytecode, each process of the tests would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
# What mypy knows of other packages stays the same for all clones.
export MYPY_CACHE_DIR ?= $(HOME)/.cache/binderprogress-mypy

STATIC := share/binderprogress/static
JS_SOURCES := $(shell find js/src js/scripts js/public -type f 2>/dev/null) js/package.json js/package-lock.json \
  js/tsconfig.json js/vite.config.ts

# Processes of the tests outside the core. They wait about as much as they compute.
WORKERS ?= $(shell n=$$(( 2 * $$(getconf _NPROCESSORS_ONLN) )); echo $$(( n > 12 ? 12 : n )))

PYTEST_PARALLEL = $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

# Of `make fuzz`; no target means all.
SECONDS_EACH := $(or $(SECONDS),60)

.PHONY: help install demo faults fuzz test test-core test-py test-rest test-long test-image test-kubernetes test-hub5 test-lowest test-js lint format lock bench docs screenshots os-packages kubernetes clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: .venv/.installed $(STATIC)/.built ## a .venv with everything, and the browser files

# Without "compat", setuptools' finder takes a third of the start of each Python.
.venv/.installed: pyproject.toml setup.py requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements-dev.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --config-setting editable_mode=compat -e .
	touch $@

# configurable-http-proxy, which JupyterHub starts, is one of the npm packages.
js/node_modules/.installed: js/package.json js/package-lock.json .venv/.installed
	npm --prefix js ci --no-audit --no-fund
	ln -sf ../../js/node_modules/.bin/configurable-http-proxy $(BIN)/configurable-http-proxy
	touch $@

$(STATIC)/.built: js/node_modules/.installed $(JS_SOURCES)
	npm --prefix js run --silent build
	touch $@

demo: install ## a JupyterHub, the server and a page with examples
	$(BIN)/binderprogress demo $(DEMO_ARGS)

test: install os-packages ## everything that CI checks
	@$(MAKE) --no-print-directory --jobs=3 --output-sync lint test-js test-core kubernetes .venv/.tests-compiled
	@$(MAKE) --no-print-directory test-rest

test-py: test-core test-rest

# With new test files, each process of pytest would compile all of them.
.venv/.tests-compiled: $(shell find tests -name '*.py') | install
	@output=$$($(BIN)/python -m pytest --ignore=tests/core --collect-only -q 2>&1) || { echo "$$output"; exit 1; }
	@touch $@

# They have to cover the core.
test-core:
	$(BIN)/python -m pytest tests/core -m "not long" --numprocesses=2 --cov --cov-fail-under=100

test-rest:
	$(PYTEST_PARALLEL) --ignore=tests/core -m "not long" $(PYTEST_ARGS)

test-long: install os-packages kubernetes ## what `make test` leaves out: long tests, more random inputs, and the fuzzers
	$(PYTEST_PARALLEL) -m "long or hypothesis" --hypothesis-profile=long $(PYTEST_ARGS)
	$(BIN)/python -m tests.fuzz --seconds=$(SECONDS_EACH)

test-image: install ## the image for Kubernetes: build it, and start it as the manifests do
	BINDERPROGRESS_TEST_IMAGE=yes $(BIN)/python -m pytest tests/podman/test_server_image.py

# An environment with some packages in other versions than the lock: the folder, and the versions.
define with_versions
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(1)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(1)/bin/python requirements-dev.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(1)/bin/python -e . $(foreach each,$(2),'$(each)')
	ln -sf ../../js/node_modules/.bin/configurable-http-proxy $(1)/bin/configurable-http-proxy
endef

test-kubernetes: install os-packages kubernetes ## tests on a real node of Kubernetes: as root, with cgroups of version 1; VERSIONS='jupyterhub==5.3.*'
	$(if $(VERSIONS),$(call with_versions,.venv-versions,$(VERSIONS)))
	BINDERPROGRESS_TEST_NODE=yes $(if $(VERSIONS),.venv-versions/bin,$(BIN))/python -m pytest tests/kubernetes

test-lowest: install ## the core and the web tests with the lowest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip compile pyproject.toml --quiet --resolution lowest-direct --extra test \
	  --python .venv-lowest/bin/python -o .venv-lowest/requirements.txt
	$(BIN)/uv pip sync --quiet --python .venv-lowest/bin/python .venv-lowest/requirements.txt
	$(BIN)/uv pip install --quiet --no-deps --python .venv-lowest/bin/python -e .
	ln -sf ../../js/node_modules/.bin/configurable-http-proxy .venv-lowest/bin/configurable-http-proxy
	.venv-lowest/bin/python -m pytest tests/core tests/web

test-hub5: install ## the tests with a JupyterHub, with JupyterHub 5; VERSIONS='jupyterhub==5.3.*' for another one
	$(call with_versions,.venv-versions,$(or $(VERSIONS),jupyterhub==5.*))
	.venv-versions/bin/python -m pytest tests/backends/test_jupyterhub.py tests/backends/test_jupyterhub_refusals.py \
	  tests/deploy/test_jupyterhub_service.py

fuzz: install ## fuzz what strangers write: make fuzz SECONDS=3600 TARGET=sse
	$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS_EACH)

faults: install ## kill a server under load, and simulate launches while everything fails: make faults SEEDS=100000
	$(BIN)/python -m tests.faults.kills
	RANDOM_SEEDS=20 $(BIN)/python -m pytest tests/channels/database/test_random.py
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) $(and $(FIRST),--first $(FIRST))
	$(BIN)/python -m tests.simulation --many --seeds $(or $(SEEDS),1000) $(and $(FIRST),--first $(FIRST))

test-js: install
	npm --prefix js test --silent

lint: install ## ruff, mypy, import-linter, tsc
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	npm --prefix js run --silent check

format: install ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/.installed ## the newest versions of all Python dependencies, into requirements-dev.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --extra dev \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -o requirements-dev.lock

bench: install ## ratios against peers in the same run
	$(BIN)/python -m benchmarks

screenshots: install ## pictures of the pages, in docs/images/states
	$(BIN)/python -m tests.e2e.screenshots

docs: install ## the documentation as HTML
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

os-packages: ## what browser, container and database tests need, where this user may install it
	@tests/os-packages

# It needs the packages of os-packages. It takes minutes once, so other things are done meanwhile.
kubernetes: os-packages ## the programs of a Kubernetes for tests, built from Debian's packages on Debian 12
	@nice -n 19 tests/kubernetes/build-cluster

clean: ## all that make made
	rm -rf .venv .venv-lowest .venv-versions js/dist js/node_modules $(STATIC) build dist *.egg-info docs/_build
