# One word each. Every target makes what it needs in .venv, from PYTHON (3.11 or newer).

PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
# Compiling the sources at every start takes longer than all else that a start does.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install -qq --constraint constraints.txt --editable
INPUTS := pyproject.toml constraints.txt $(VENV)/.made

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run chat test coverage chaos talk fuzz lint format bench docs upgrade clean

help: ## Show this.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.run ## Start a backend and a bot on it (config/demo.toml).
	@$(BIN)/chatbot run config/demo.toml

chat: $(VENV)/.run var/alice.password ## Talk to that bot, in a second terminal.
	@$(BIN)/chatbot chat --server http://127.0.0.1:8787 --as alice --to demo-bot --register \
		--storage var/alice --password-file var/alice.password

test: $(VENV)/.test ## Run all tests in random order.
	$(BIN)/python -m pytest -n 4

coverage: $(VENV)/.test ## Run them again, more slowly, and ask for their coverage.
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 4
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=90
	$(BIN)/coverage report --skip-covered --fail-under=100 --include='chatbot/client/crypto/*'

chaos: $(VENV)/.test ## Break everything for some 20 minutes and count (SEED=n repeats one).
	PYTHONPATH=tests $(BIN)/python -m faults.chaos $(if $(SEED),--seed $(SEED)) --json chaos.json

talk: $(VENV)/.test ## Have a client and a browser say 10,000 things in spite of all (SEED=n varies).
	BROWSER_MESSAGES=10000 BROWSER_SEED=$(or $(SEED),1) $(BIN)/python -m pytest \
		-o faulthandler_timeout=0 -o log_cli=true -o log_cli_level=INFO \
		tests/client/messaging/test_messaging_browser.py

fuzz: $(VENV)/.test ## Feed a million damaged inputs to whatever reads them (SEED=n repeats).
	PYTHONPATH=tests $(BIN)/python -m fuzz $(if $(SEED),--seed $(SEED))

lint: $(VENV)/.lint ## Check the style, the types and which way imports point.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.lint ## Bring the code into shape.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.bench ## Measure speed and memory, beside others where there are others.
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs ## Build the documentation (docs/_build/index.html).
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

upgrade: ## Pin the newest version of everything in constraints.txt.
	@rm -rf $(VENV)
	@$(MAKE) --no-print-directory $(VENV)/.made
	$(BIN)/python -m pip install -qq --editable '.[bench,docs,lint]'
	@echo '# What make installs, as it was tested together. "make upgrade" renews it.' >constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable >>constraints.txt

clean: ## Remove what these targets made; var/ with the demo's accounts stays.
	@rm -rf $(VENV) docs/_build build dist *.egg-info .coverage .coverage.* htmlcov
	@rm -rf .hypothesis .import_linter_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: $(INPUTS)
	@echo 'Installing into $(VENV) …'
	@$(INSTALL) .
	@touch $@

$(VENV)/.test $(VENV)/.lint $(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: $(INPUTS)
	@echo 'Installing into $(VENV) …'
	@$(INSTALL) '.[$*]'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'This needs Python 3.11 or newer. Try: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; \
		exit 1; \
	}
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

var/%.password: | $(VENV)/.run
	@umask 077 && mkdir -p var && $(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(24))' >$@
