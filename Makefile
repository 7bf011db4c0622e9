.DEFAULT_GOAL := help
.PHONY: help run test lint check coverage interop docs wheel distributions venv lock chaos bench clean

VENV ?= .venv
export VENV
# Where this is set, every process of the tests compiles the program again.
export PYTHONDONTWRITEBYTECODE :=
PY := $(VENV)/bin/python
CHECKED := hms_svc tests tools benchmarks examples
UV ?= uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate

help:
	@echo "make run     put a sample pothole report through the service (a terminal: the console)"
	@echo "make test    run the tests"
	@echo "make lint    formatting, lint, types, import contracts, file sizes, spelling, links"
	@echo "make check   lint and test"
	@echo "make interop the tests with parts that others wrote: Prometheus, a browser, generated clients, installers, odd terminals"
	@echo "make docs    build the documentation site into dist/docs; a broken link fails"
	@echo "make wheel   build the wheels and the source distribution into dist/"
	@echo "make distributions  install both wheels into empty environments, and run the sample"
	@echo "make coverage  run the tests and measure which lines and branches they reach"
	@echo "make venv    make .venv with everything for development"
	@echo "make lock    write the hash-locked requirements again (needs uv)"
	@echo "make chaos   the long fault-injection tests"
	@echo "make bench   measure this machine"
	@echo "make clean   remove .venv and its like, .data and caches"

run: $(VENV)/.run.stamp
	@$(PY) tools/run_sample.py

test: $(VENV)/.dev.stamp
	$(PY) -m pytest -n 6 --dist worksteal -m "not chaos and not interop" $(ARGS)

lint: $(VENV)/.dev.stamp
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(CHECKED)
	$(VENV)/bin/lint-imports --no-logo
	$(PY) tools/size_gate.py
	$(VENV)/bin/codespell
	$(PY) tools/check_links.py

check: lint test

# CPython 3.11 can loop for ever where a traced function runs while a thread's greenlets are removed.
coverage: $(VENV)/.dev.stamp
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
		echo "make coverage needs Python 3.12 or later: make coverage VENV=.venv-3.13 PYTHON=3.13" >&2; exit 1; }
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest -n 6 --dist worksteal -m "not chaos and not interop" $(ARGS)
	$(VENV)/bin/coverage combine -q
	$(VENV)/bin/coverage report

interop: $(VENV)/.interop.stamp
	@tools/interop_parts.sh
	$(PY) -m pytest -m interop -n 2 --dist loadfile $(ARGS)

docs: $(VENV)/.docs.stamp
	$(VENV)/bin/sphinx-build -q -n -W --keep-going -b dirhtml docs dist/docs

wheel: $(VENV)/.dev.stamp
	$(PY) -m hatchling build -d dist
	cd client && $(abspath $(PY)) -m hatchling build -t wheel -d ../dist

distributions: $(VENV)/.dev.stamp
	$(PY) -m pytest tests/distributions -n 2 --dist loadfile $(ARGS)

venv: $(VENV)/.dev.stamp

chaos: $(VENV)/.dev.stamp
	$(PY) -m pytest -m chaos --timeout 3600 $(ARGS)

bench: $(VENV)/.dev.stamp
	$(PY) -m benchmarks $(ARGS)

$(VENV)/.%.stamp: requirements/%.txt pyproject.toml tools/make_venv.sh tools/find_python.sh
	@tools/make_venv.sh $*

lock:
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) pyproject.toml --extra all --group build --output-file requirements/run.txt
	$(COMPILE) pyproject.toml --extra all --group build --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra all --group build --group dev --group interop --constraint requirements/dev.txt \
		--output-file requirements/interop.txt
	$(COMPILE) pyproject.toml --extra all --group build --group dev --group docs --constraint requirements/dev.txt \
		--output-file requirements/docs.txt
	$(COMPILE) --group generator --output-file requirements/generator.txt
	$(COMPILE) pyproject.toml --extra all --group build --group tests --resolution lowest-direct --output-file requirements/oldest.txt
	npm install --prefix tests/interop/node --package-lock-only --no-audit --no-fund

clean:
	rm -rf .venv .venv-* .data dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
