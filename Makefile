# Everything a checkout needs is set up by the targets themselves; only Python 3.11+ must be there
# (tests also: Java 17+ and Maven, or a broker named in KAFKA_BOOTSTRAP_SERVERS).

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo real install test lint proof bench lock clean

help:
	@echo "make demo    play the demo in this terminal"
	@echo "make real    thirty minutes of a real order book, replayed; its report"
	@echo "make test    all tests, some against a real Kafka that they start"
	@echo "make lint    ruff and mypy"
	@echo "make proof   the long proofs; their results go to tests/proofs.json"
	@echo "make bench   what an event costs, as ratios"
	@echo "make lock    pin the dependencies anew"

demo: .venv/runtime-installed
	$(BIN)/shadow-monitor demo $(ARGS)

real: install
	rm -rf out/real
	$(BIN)/python -m monitor.demo.real_desk out/real
	$(BIN)/shadow-monitor replay --config out/real/config.yaml --features out/real/features.jsonl \
		--orders out/real/orders.jsonl --out out/real/out

install: .venv/dev-installed

test: install
	$(BIN)/pytest $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

proof: install
	$(BIN)/pytest --proof -v --timeout 3600 $(ARGS)

bench: install
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/runtime-installed: .venv/created requirements.lock pyproject.toml
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev-installed: .venv/runtime-installed requirements-dev.lock requirements-data.lock
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --require-hashes --no-deps -r requirements-data.lock
	@touch $@

# The locks hold hashes and no address: where packages come from is the machine's affair.
COMPILE := $(BIN)/pip-compile --quiet --upgrade --all-build-deps --generate-hashes --allow-unsafe --strip-extras \
	--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# Packages of which tests read the data files alone: installed without what they depend on, never imported.
DATA := skfolio
PINNED := 'import json, sys; [print("{name}=={version} \\\n    --hash=sha256:{sha256}".format(**p["metadata"], \
	**p["download_info"]["archive_info"]["hashes"])) for p in json.load(sys.stdin)["install"]]'

lock: install
	$(PIP) install --quiet pip-tools
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(PIP) install --quiet --dry-run --ignore-installed --no-deps --only-binary :all: --report - $(DATA) \
		| $(BIN)/python -c $(PINNED) > requirements-data.lock

clean:
	rm -rf .venv build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis
