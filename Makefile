# `make help` lists what there is. Everything made lands under .build/, nothing outside the checkout is touched;
# PYTHON=/path/to/python chooses the interpreter, and each keeps an environment and a build of its own.

PYTHON ?= python3
TAG := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
ENV := .build/$(TAG)
RUN := $(ENV)/bin/python
# Environments apart: what is installed there must not be there when the tests run.
MORE := .build/$(TAG)-integrations
TOOLS := .build/tools
SUITES := .build/suites-$(TAG)
SERVERS := .build/servers-$(TAG)
TARGETS := $(CURDIR)/.build/target
# PyO3 is compiled for one interpreter: a target directory for each keeps a build for another from undoing it.
PER_PYTHON := CARGO_TARGET_DIR=$(TARGETS)/$(TAG) PYO3_PYTHON=$(CURDIR)/$(RUN)
# What the engine does on systems without eventfd and pidfd.
FALLBACKS := --cfg ferroloop_force_pipe_waker --cfg ferroloop_force_waitpid
SOURCES := $(shell find Cargo.toml Cargo.lock pyproject.toml LICENSE-* README.md engine/Cargo.toml engine/src binding python \
             -type f ! -name '*.so' ! -name '*.pyc')

# The other loops; not each of them exists for each Python.
PEERS := uvloop rloop rsloop zuvloop aiofastnet
# What the benchmarks of clients need.
CLIENTS := asyncpg redis

.PHONY: help demo test check lint engine pytest conformance bench integrations suites servers docs wheels sdist clean

help:
	@echo 'make demo         a web application under uvicorn on ferroloop: its answers, and its speed beside asyncio'
	@echo 'make test         everything that has to pass: lint, engine, pytest, conformance, integrations, docs'
	@echo 'make check        the quick part of it, for while you work'
	@echo 'make lint         formatting, clippy, ruff, mypy, stubtest'
	@echo 'make engine       the tests of the Rust engine, with loom and with the fallbacks forced'
	@echo 'make pytest       the Python tests, on asyncio and on ferroloop (ARGS= for pytest)'
	@echo "make conformance  CPython's own asyncio tests on ferroloop (ARGS= for the runner)"
	@echo 'make integrations ferroloop.contrib: gunicorn, granian, hypercorn, aiohttp, Dask, pytest plugins'
	@echo 'make servers      clients against real PostgreSQL, Redis, nginx and OpenSSL, installed from Debian if missing'
	@echo 'make docs         the documentation in .build/site'
	@echo 'make wheels       a wheel for PYTHON in dist/'
	@echo 'make sdist        the source distribution in dist/'
	@echo 'make suites       the test suites of anyio, aiohttp, uvicorn, ... on ferroloop and on asyncio (ARGS= for the runner)'
	@echo 'make bench        ferroloop beside the other loops; writes bench/RESULTS.md (ARGS=--quick for a first look)'
	@echo 'make clean        removes .build'

demo: $(ENV)/installed
	$(RUN) scripts/demo.py

test: lint engine pytest conformance integrations docs

check: $(ENV)/installed
	cargo fmt --all --check
	CARGO_TARGET_DIR=$(TARGETS)/engine cargo test --quiet --package ferroloop-engine
	$(RUN) -m pytest --quiet -x -n auto tests --ignore tests/programs --ignore tests/load

lint: $(ENV)/installed
	cargo fmt --all --check
	$(PER_PYTHON) cargo clippy --quiet --workspace --all-targets -- -D warnings
	cargo fmt --manifest-path bench/load/Cargo.toml --check
	CARGO_TARGET_DIR=$(TARGETS)/load cargo clippy --quiet --manifest-path bench/load/Cargo.toml --all-targets -- -D warnings
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy.stubtest ferroloop._ferroloop

engine:
	CARGO_TARGET_DIR=$(TARGETS)/engine cargo test --package ferroloop-engine
	CARGO_TARGET_DIR=$(TARGETS)/fallbacks RUSTFLAGS='$(FALLBACKS)' cargo test --package ferroloop-engine
	CARGO_TARGET_DIR=$(TARGETS)/loom RUSTFLAGS='--cfg loom' cargo test --package ferroloop-engine --release --lib

pytest: $(ENV)/installed
	$(RUN) -m pytest -n auto $(ARGS)

conformance: $(ENV)/installed
	$(RUN) tests/conformance/run.py $(ARGS)

integrations: $(MORE)/installed
	$(MORE)/bin/python -m pytest -n 2 -p no:asyncio tests/integrations tests/test_documentation.py $(ARGS)

servers: $(SERVERS)/installed
	$(SERVERS)/bin/python tests/servers/run.py $(ARGS)

docs: $(TOOLS)/installed
	NO_MKDOCS_2_WARNING=1 $(TOOLS)/bin/mkdocs build --strict --quiet

wheels: $(TOOLS)/installed $(ENV)/environment
	$(TOOLS)/bin/python scripts/wheels.py $(TOOLS) $(ENV) dist

sdist: $(TOOLS)/installed
	$(TOOLS)/bin/maturin sdist --out dist

suites: $(SUITES)/installed
	$(SUITES)/bin/python -m pytest --quiet -c /dev/null --rootdir . -p no:asyncio tests/suites/check_programs.py
	$(SUITES)/bin/python tests/suites/run.py --work $(SUITES)/work $(ARGS)

bench: $(ENV)/installed
	for package in $(PEERS) $(CLIENTS); do \
		$(RUN) -m pip install --quiet $$package || echo "no $$package for $(TAG)"; done
	$(RUN) bench/run.py $(ARGS)

clean:
	rm -rf .build

$(ENV)/environment: pyproject.toml scripts/make-environment
	scripts/make-environment $(PYTHON) $(ENV)
	$(RUN) -m pip install --quiet --group test --group lint
	touch $@

$(ENV)/installed: $(ENV)/environment $(SOURCES)
	$(PER_PYTHON) $(RUN) -m pip install --quiet --no-deps --force-reinstall .
	touch $@

$(MORE)/installed: $(ENV)/installed pyproject.toml
	scripts/make-environment $(PYTHON) $(MORE)
	$(MORE)/bin/python -m pip install --quiet --group integrations
	$(PER_PYTHON) $(MORE)/bin/python -m pip install --quiet --no-deps .
	touch $@

$(SERVERS)/environment: pyproject.toml scripts/make-environment
	scripts/make-environment $(PYTHON) $(SERVERS)
	$(SERVERS)/bin/python -m pip install --quiet --group servers
	touch $@

$(SERVERS)/installed: $(ENV)/environment $(SERVERS)/environment $(SOURCES)
	$(PER_PYTHON) $(SERVERS)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@

$(TOOLS)/installed: pyproject.toml scripts/make-environment
	scripts/make-environment $(PYTHON) $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --group package --group docs
	touch $@

$(SUITES)/environment: tests/suites/suites.toml scripts/make-environment
	scripts/make-environment $(PYTHON) $(SUITES)
	$(SUITES)/bin/python tests/suites/run.py --install
	touch $@

$(SUITES)/installed: $(SUITES)/environment $(SOURCES)
	CARGO_TARGET_DIR=$(TARGETS)/$(TAG) PYO3_PYTHON=$(CURDIR)/$(SUITES)/bin/python \
		$(SUITES)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@
