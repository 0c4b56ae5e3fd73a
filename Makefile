# Everything here needs Python 3.11 and PyPI; the virtual environment is made when it is missing or out of date.
.DEFAULT_GOAL := help
.PHONY: help venv demo test slow test-monitoring test-apps cluster cluster-down test-kubernetes lint format types layers check picture drawings schemas recording figures lock clean

# What was compiled is kept, also where the environment says otherwise: every process of the tests would compile it anew.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
CODE := shared services eval tests docs

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {name[++n] = $$1; what[n] = $$2; if (length($$1) > wide) wide = length($$1)} \
		END {for (i = 1; i <= n; i++) printf "  make %-" wide "s  %s\n", name[i], what[i]}' Makefile

venv: ## Make .venv from requirements.lock, if it is not up to date (PYTHON=... picks the interpreter)
	@PYTHON="$(PYTHON)" scripts/venv

demo: venv ## Watch Primum at work on an embedded cluster
	@$(BIN)/primum demo

test: venv ## All tests, fast ones first
	@$(BIN)/pytest

slow: venv ## The slower suites: the whole demo, and what it says without one of its organs
	@$(BIN)/pytest --numprocesses=0 tests/slow

test-monitoring: venv ## Primum before a real Prometheus and a pair of real Alertmanagers, where they are installed
	@$(BIN)/pytest --numprocesses=0 -rs tests/monitoring

test-apps: ## The shop's programs: gofmt, go vet and their tests, where Go is installed
	@if ! command -v go >/dev/null; then echo "skipped: there is no go on PATH"; exit 0; fi; \
	cd eval/kubernetes/apps && export CGO_ENABLED=0 && test -z "$$(gofmt -l . | tee -a /dev/stderr)" && go vet ./... && go test ./...

cluster: venv ## Start a real Kubernetes in a network of its own; the first time builds it, ten minutes (NODES=2 for two nodes)
	@$(BIN)/python -m eval.kubernetes up --nodes $(or $(NODES),1)

cluster-down: venv ## Take it down, and leave nothing of it behind
	@$(BIN)/python -m eval.kubernetes down --all

test-kubernetes: venv ## What only a real cluster can show, on one that is up for it alone, where root and Go are there
	@$(BIN)/python -m eval.kubernetes run $(BIN)/pytest --numprocesses=0 -rs --timeout=300 --on kubernetes \
		tests/kubernetes tests/contract/test_*_port.py

lint: venv ## ruff: the rules and the format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

format: venv ## Mend what ruff can mend
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

types: venv ## mypy, strict
	@$(BIN)/mypy

layers: venv ## import-linter: who may import whom
	@$(BIN)/lint-imports --no-logo

check: lint types layers test ## All of the above, as CI does

picture: venv ## Record docs/demo.svg from a real run of the demo
	@$(BIN)/python docs/record.py

drawings: venv ## Draw the tables and diagrams in docs/architecture.md and docs/evaluation.md again, from the code
	@$(BIN)/python docs/draw.py

schemas: venv ## Write the JSON Schemas and the AsyncAPI document of all formats, from the code
	@$(BIN)/python docs/formats.py

recording: venv ## Record the ledger of a run, for every later version to read: NAME=0002-what-is-new
	@$(BIN)/python -m eval.recording "$(NAME)"

figures: venv ## Measure everything on docs/reliability.md and docs/evaluation.md again (ONLY="ingest memory" for some); more than two hours
	@$(BIN)/python docs/measure.py $(ONLY)

lock: ## Resolve the dependencies again into requirements.lock (needs uv; UPGRADE=--upgrade takes newer versions)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 $(UPGRADE) --quiet \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" --output-file requirements.lock

clean: ## Remove the virtual environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
