# `make help` lists what there is. Everything made lands under .build/, wheels in dist/, and `make bench` writes
# bench/RESULTS.md; nothing outside the checkout is touched. PYTHON=/path/to/python chooses the interpreter, and each
# keeps an environment and a build of its own; the tools of wheels and documentation have one for all.

PYTHON ?= python3
TAG := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
ENV := .build/$(TAG)
RUN := $(ENV)/bin/python
# Environments apart: what is installed there must not be there when the tests run.
MORE := .build/$(TAG)-integrations
TOOLS := .build/tools
SUITES := .build/suites-$(TAG)
SERVERS := .build/servers-$(TAG)
BENCH := .build/$(TAG)-bench
SANITIZED := .build/$(TAG)-sanitized
TARGETS := $(CURDIR)/.build/target
# PyO3 is compiled for one interpreter: a target directory for each keeps a build for another from undoing it.
PER_PYTHON := CARGO_TARGET_DIR=$(TARGETS)/$(TAG) PYO3_PYTHON=$(shell $(PYTHON) -c 'import sys; print(sys.executable)')
BUILT = $(TARGETS)/$(TAG)/release
# On macOS a linker has to be told that the interpreter brings what an extension module does not define.
ifeq ($(shell uname),Darwin)
UNDEFINED := -C link-arg=-undefined -C link-arg=dynamic_lookup
LIBRARY := .dylib
else
LIBRARY := .so
endif
# What the engine does on systems without eventfd and pidfd.
FALLBACKS := --cfg ferroloop_force_pipe_waker --cfg ferroloop_force_waitpid
SOURCES := $(shell find Cargo.toml Cargo.lock pyproject.toml LICENSE-* README.md engine/Cargo.toml engine/src binding python \
             -type f ! -name '*.so' ! -name '*.pyc')

# The other loops; not each of them exists for each Python.
PEERS := uvloop rloop rsloop zuvloop aiofastnet
# What the benchmarks of clients need.
CLIENTS := asyncpg redis

.PHONY: help demo test check lint engine pytest sanitize conformance bench integrations suites servers docs wheels sdist clean

help:
	@echo 'make demo         a web application under uvicorn on ferroloop: its answers, and its speed beside asyncio'
	@echo 'make test         everything that has to pass: lint, engine, pytest, conformance, integrations, docs'
	@echo 'make check        the quick part of it, for while you work'
	@echo 'make lint         formatting, clippy, ruff, mypy, stubtest'
	@echo 'make engine       the tests of the Rust engine, with loom and with the fallbacks forced'
	@echo 'make pytest       the Python tests, on asyncio and on ferroloop (ARGS= for pytest)'
	@echo 'make sanitize     the same with Rust under AddressSanitizer, and with the assertions of debug builds'
	@echo "make conformance  CPython's own asyncio tests on ferroloop (ARGS= for the runner)"
	@echo 'make integrations ferroloop.contrib: gunicorn, granian, hypercorn, aiohttp, Dask, pytest plugins'
	@echo 'make servers      clients against real PostgreSQL, Redis, nginx and OpenSSL, installed from Debian if missing'
	@echo 'make docs         the documentation in .build/site'
	@echo 'make wheels       a wheel for PYTHON in dist/'
	@echo 'make sdist        the source distribution in dist/'
	@echo 'make suites       the test suites of anyio, aiohttp, uvicorn, ... on ferroloop and on asyncio (ARGS= for the runner)'
	@echo 'make bench        ferroloop beside the other loops; writes bench/RESULTS.md (ARGS=--quick for a first look)'
	@echo 'make clean        removes .build and dist'

demo: $(ENV)/installed
	$(RUN) scripts/demo.py

test: lint engine pytest conformance integrations docs

check: $(ENV)/installed $(ENV)/rust_coroutines
	cargo fmt --all --check
	CARGO_TARGET_DIR=$(TARGETS)/engine cargo test --quiet --package ferroloop-engine
	$(RUN) -m pytest --quiet -x -n auto tests --ignore tests/programs --ignore tests/load

# The second clippy sees what is compiled for free-threaded Pythons alone, without one.
lint: $(ENV)/installed
	cargo fmt --all --check
	$(PER_PYTHON) cargo clippy --quiet --workspace --all-targets -- -D warnings
	CARGO_TARGET_DIR=$(TARGETS)/free-threaded PYO3_CONFIG_FILE=$(CURDIR)/scripts/free-threaded.pyo3 \
		cargo clippy --quiet --workspace --all-targets -- -D warnings
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

pytest: $(ENV)/installed $(ENV)/rust_coroutines
	$(RUN) -m pytest -n auto $(ARGS)

# Free-threaded Pythons have filters of warnings for each context; a transport that dies is in the loop's, not the test's.
pytest sanitize: export PYTHON_CONTEXT_AWARE_WARNINGS = 0

# Python itself is not built for it, so the runtime comes first by LD_PRELOAD. What Python holds to its end is no leak.
sanitize: $(SANITIZED)/installed $(SANITIZED)/rust_coroutines
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
		$(SANITIZED)/bin/python -m pytest -n auto $(ARGS)

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

bench: $(BENCH)/installed
	$(BENCH)/bin/python bench/run.py $(ARGS)

clean:
	rm -rf .build dist

# $(call environment,DIRECTORY,SOURCE,COMMAND): an environment that COMMAND fills, made anew when SOURCE changes; and
# ferroloop in it, installed anew when its own sources change. The example of futures/ is what tests/test_futures.py
# imports.
define environment
$(1)/environment: $(2) scripts/make-environment
	scripts/make-environment $(PYTHON) $(1)
	$(1)/bin/python $(3)
	touch $$@

$(1)/installed: $(1)/environment $(SOURCES)
	$$(PER_PYTHON) $(1)/bin/python -m pip install --quiet --no-deps --force-reinstall .
	touch $$@

$(1)/rust_coroutines: $(1)/environment $(shell find futures -type f) Cargo.toml Cargo.lock
	$$(PER_PYTHON) cargo rustc --quiet --release --package ferroloop-futures --example rust_coroutines -- $(UNDEFINED)
	cp $$(BUILT)/examples/librust_coroutines$(LIBRARY) \
		$$$$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/rust_coroutines.so
	touch $$@
endef

PIP := -m pip install --quiet
$(eval $(call environment,$(ENV),pyproject.toml,$(PIP) --group test --group lint))
$(eval $(call environment,$(SANITIZED),pyproject.toml,$(PIP) --group test))
$(eval $(call environment,$(MORE),pyproject.toml,$(PIP) --group integrations))
$(eval $(call environment,$(SERVERS),pyproject.toml,$(PIP) --group servers))
$(eval $(call environment,$(BENCH),pyproject.toml,$(PIP) --group test))
$(eval $(call environment,$(SUITES),tests/suites/suites.toml,tests/suites/run.py --install))

# Sanitizers are an unstable option of rustc. With a target, what the build itself runs is built without.
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
$(SANITIZED)/installed $(SANITIZED)/rust_coroutines: PER_PYTHON += CARGO_BUILD_TARGET=$(HOST) RUSTC_BOOTSTRAP=1 \
	RUSTFLAGS='-Zsanitizer=address -Cdebug-assertions' CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
$(SANITIZED)/rust_coroutines: BUILT = $(TARGETS)/$(TAG)/$(HOST)/release

$(BENCH)/installed: $(BENCH)/peers

$(BENCH)/peers: $(BENCH)/environment
	for package in $(PEERS) $(CLIENTS); do \
		$(BENCH)/bin/python $(PIP) $$package || echo "no $$package for $(TAG)"; done
	touch $@

$(TOOLS)/installed: pyproject.toml scripts/make-environment
	scripts/make-environment $(PYTHON) $(TOOLS)
	$(TOOLS)/bin/python $(PIP) --group package --group docs
	touch $@
