# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: demo test check format docs bench bench-sessions survive soak fuzz lock clean

demo: $(VENV)/runtime.done
	$(BIN)/gateway demo

# Files of tests side by side: most of them wait for processes, time-outs and disks.
test: check
	$(BIN)/pytest -n $(or $(JOBS),auto) --dist loadfile

check: $(VENV)/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/dev.done
	$(BIN)/gateway schema > docs/config.schema.json
	$(BIN)/gateway schema --format markdown > docs/configuration.md

bench: $(VENV)/dev.done
	$(BIN)/python -m bench

bench-sessions: $(VENV)/dev.done
	$(BIN)/python -m bench.sessions

survive: $(VENV)/dev.done
	$(BIN)/python -m bench.survival

soak: $(VENV)/dev.done
	$(BIN)/python -m bench.soak

# Every fuzzer for SECONDS, two at a time.
SECONDS ?= 600
fuzz: $(VENV)/dev.done
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# Rewrites the locks; the newest versions that pyproject.toml allows, with the hashes of every file.
lock:
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o locks/runtime.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml --group dev --group build -c locks/runtime.txt -o locks/dev.txt
	uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --group build -c locks/dev.txt -o locks/build.txt

$(VENV)/python.done:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/runtime.done: $(VENV)/python.done locks/runtime.txt locks/build.txt
	$(INSTALL) -r locks/runtime.txt -r locks/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.done: $(VENV)/runtime.done locks/dev.txt
	$(INSTALL) -r locks/dev.txt
	touch $@

clean:
	rm -rf $(VENV) .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
