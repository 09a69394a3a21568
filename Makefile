# Every target calls one command in .venv, which is made first where it is missing. `make` alone
# prints the help, from "## " after a target, "## NAME (default): " above a variable, and what the
# papers' eval.py files declare.

## DATA_ROOT (data/): folder with local copies of the data sets; nothing is downloaded then
DATA_ROOT ?=
## SEEDS (0 1 2 3 4): seeds to train and evaluate; 0 alone in profiles quick and smoke
SEEDS ?=
## PROTOCOL (both): published | corrected
PROTOCOL ?=
## PROFILE (paper): paper | quick | smoke
PROFILE ?=
## READING (none): settings that the paper leaves open, off their default: "loss=dice"
READING ?=
## TRAIN (no): 1 trains the training readings that are missing; they take as long as a table each
TRAIN ?=
## ENCODER_WEIGHTS (paper's): imagenet | none | an .h5 file; none,vgg16=FILE mixes; coco for brain
ENCODER_WEIGHTS ?=
## PRECISION (float32): float32 | mixed_bfloat16 | mixed_float16
PRECISION ?=
## CLUSTER (none): Dask cluster: tcp://host:8786, or a number of workers here; docs/scale.md
CLUSTER ?=
## PLAN (no): 1 says what a table would train, how long and on what disk, and stops
PLAN ?=
## GPU (no): 1 adds the CUDA libraries to .venv (Linux, 3 GB); once is enough
GPU ?=
## PAPER (none): folder name of a paper, for predict: tnbc_linknet
PAPER ?=
## INPUT (none): your images, for predict: a file, a folder, or several separated by spaces
INPUT ?=
## OUT (none): folder for the results of predict
OUT ?=
## RUN (newest): run folder for predict and the page
RUN ?=
## QUICK (no): 1 makes bench take two minutes instead of twenty
QUICK ?=
## TORCH (no): 1 adds PyTorch's peers to bench, in .venv/torch (6 GB)
TORCH ?=
## KILLS (20, 40): how many kills kill-and-resume and kill-commands make; 1000 trainings take a night
KILLS ?=
## STATUS (no): 1 shows the state of the queue
STATUS ?=
## COVERAGE (no): 1 makes test list the lines that no test ran
COVERAGE ?=
## BUNDLE (none): folder for a set-up without a network; docs/offline.md
BUNDLE ?=
## PYTHON (found): interpreter to make .venv from, CPython 3.8 to 3.10
PYTHON ?=

# Words of the user reach the shell in single quotes, and are not expanded by make either, so that no
# character in them means anything. Only a line break would, to make.
WORDS := $(shell sed -n 's/^\([A-Z_]*\) ?=.*/\1/p' Makefile $(wildcard reproductions/*/targets.mk))
define line_break


endef
$(foreach name,$(WORDS),\
	$(eval override $(name) := $$(value $(name)))\
	$(if $(findstring $(line_break),$($(name))),$(error $(name) has a line break in it: give it without)))
quote = '$(subst ','\'',$(1))'
# A file or folder; one that begins with a dash is no option.
place = $(call quote,$(if $(filter -%,$(firstword $(1))),./)$(1))
OPTIONS = $(if $(DATA_ROOT),--data-root $(call place,$(DATA_ROOT))) \
	$(if $(SEEDS),--seeds $(foreach seed,$(SEEDS),$(call quote,$(seed)))) \
	$(if $(PROTOCOL),--protocol $(call quote,$(PROTOCOL))) \
	$(if $(PROFILE),--profile $(call quote,$(PROFILE))) \
	$(if $(READING),--reading $(call quote,$(READING))) \
	$(if $(filter-out 0,$(TRAIN)),--train-readings) \
	$(if $(ENCODER_WEIGHTS),--encoder-weights $(call quote,$(ENCODER_WEIGHTS))) \
	$(if $(PRECISION),--precision $(call quote,$(PRECISION))) \
	$(if $(filter-out 0,$(PLAN)),--plan) \
	$(if $(CLUSTER),--cluster $(call quote,$(CLUSTER)))
# A path with spaces in it is one, if there is such a file; else spaces separate several.
INPUTS = $(if $(shell test -e $(call place,$(INPUT)) && echo 1),$(call place,$(INPUT)),$(foreach one,$(INPUT),$(call place,$(one))))
ROOT_OPTION = $(if $(DATA_ROOT),--data-root $(call place,$(DATA_ROOT)))

# The tests read DATA_ROOT from the environment, where an empty one would look like a folder.
ifneq ($(DATA_ROOT),)
export DATA_ROOT
else
unexport DATA_ROOT
endif
export GPU PYTHON BUNDLE
# What would change the interpreter or its packages behind the lock's back.
unexport PYTHONPATH PYTHONHOME PYTHONPLATLIBDIR PYTHONUSERBASE PYTHONOPTIMIZE PYTHONWARNINGS PYTHONUTF8
unexport PYTHONINSPECT PYTHONDEVMODE PYTHONCASEOK PYTHONSAFEPATH PYTHONSTARTUP PIP_USER PIP_TARGET PIP_PREFIX
export PYTHONIOENCODING := utf-8
export PYTHONNOUSERSITE := 1

MODULE := .venv/bin/python -m
MEDSEG := .venv/bin/python -m reproductions.command
READY := .venv/.ready$(if $(filter-out 0,$(GPU)),-gpu)
PAPERS := $(sort $(patsubst reproductions/%/eval.py,%,$(wildcard reproductions/*/eval.py)))
SHORT = $(firstword $(subst _, ,$(1)))
EVALS := $(foreach paper,$(PAPERS),reproductions/$(paper)/eval.py)

.PHONY: help list setup data predict audit claims readme verify report demo bench kill-and-resume queue bundle test test-browser lint lock clean

help: ## this page
	@awk -v files='$(MAKEFILE_LIST)' -f tools/help.awk $(MAKEFILE_LIST) $(EVALS)

list: setup ## papers with their tables and figures
	@$(MEDSEG) list

.PHONY: all doctor interpreters deposit fuzz kill-commands
doctor: setup ## what this machine has, what is missing, and what helps
	@$(MEDSEG) doctor $(ROOT_OPTION)

setup: $(READY) ## make .venv with everything in it; happens by itself before the others

.venv/.ready: requirements/dev.txt requirements/uv.txt $(wildcard setup.cfg)
	@requirements/setup.sh

.venv/.ready-gpu: requirements/dev.txt requirements/uv.txt requirements/gpu.txt
	@requirements/setup.sh

.venv/.ready-bench: requirements/dev.txt requirements/uv.txt requirements/bench.txt
	@BENCH=1 requirements/setup.sh

.venv/torch/.ready: requirements/torch.txt | setup
	.venv/tools/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv/torch
	.venv/tools/bin/uv pip sync --python .venv/torch/bin/python --require-hashes requirements/torch.txt
	@touch $@

# A paper's targets are SHORT-NAME for every NAME that its eval.py declares, and data-SHORT.
define paper_rules
.PHONY: data-$(call SHORT,$(1))
data-$(call SHORT,$(1)): setup
	@$$(MEDSEG) data $(1) $$(ROOT_OPTION)

$(call SHORT,$(1))-%: setup
	@$$(MODULE) reproductions.$(1).eval $$* $$(OPTIONS)
endef
$(foreach paper,$(PAPERS),$(eval $(call paper_rules,$(paper))))
-include $(wildcard reproductions/*/targets.mk)

# A variable on the command line that is none of the above would be ignored in silence.
SET := $(foreach one,$(subst \ ,_,$(MAKEOVERRIDES)),$(firstword $(subst =, ,$(one))))
ifneq ($(SET),)
KNOWN := SHELL MAKEFLAGS $(shell sed -n 's/^## \([A-Z_]*\) .*: .*/\1/p' $(MAKEFILE_LIST))
$(foreach name,$(filter-out $(KNOWN),$(SET)),$(error $(name): no such variable; make help lists them))
endif

data: setup ## find or download every data set, and go on after one that cannot be had
	@$(MODULE) common.datasets.manifests --all $(ROOT_OPTION)

predict: setup ## segment your own images with a trained network: PAPER= INPUT= OUT=, perhaps RUN=
	@$(foreach name,PAPER INPUT OUT,$(if $($(name)),,$(error $(name) is missing: make predict PAPER=tnbc_linknet INPUT=images OUT=results)))$(MEDSEG) predict \
		$(call quote,$(PAPER)) $(INPUTS) --out $(call place,$(OUT)) $(if $(RUN),--run $(call place,$(RUN)))

audit: setup ## check the published numbers of all papers: no data, seconds
	@$(MEDSEG) audit --csv results/audit.csv

claims: setup ## what the papers conclude, with our verdicts
	@$(MEDSEG) claims

readme: setup ## bring the tables in the README files up to date with results/
	@$(MODULE) common.results.readme

verify: setup ## check that results, README and report follow from what is kept; with DATA_ROOT from predictions
	@$(MEDSEG) verify $(ROOT_OPTION)
	@$(MODULE) common.published.audit --csv results/audit.csv --check
	@$(MODULE) common.results.readme --check
	@$(MODULE) common.report.html --check

report: setup ## write results/index.html: every published number beside ours
	@$(MEDSEG) report

all: setup ## every table and figure of every paper; CLUSTER= trains their runs side by side
	@$(MODULE) tools.all $(OPTIONS)

demo: setup ## every table within minutes on synthetic images: no data, no network
	@$(MODULE) tools.demo

bench: setup .venv/.ready-bench $(if $(filter-out 0,$(TORCH)),.venv/torch/.ready) ## speed beside other libraries, into results/bench
	@$(MODULE) tools.bench $(if $(filter-out 0,$(QUICK)),--quick)

queue: setup ## train the runs of tools/queue.txt one by one; STATUS=1 shows how far it is
	@$(MODULE) tools.queue $(if $(filter-out 0,$(STATUS)),--status) $(ROOT_OPTION)

kill-commands: setup ## stop tables, report, predictions and downloads at random, and run them again
	@$(MODULE) tools.kill_commands $(if $(KILLS),--kills $(call quote,$(KILLS)))

fuzz: setup ## damage files of every kind at random and read them: no traceback, no hang
	@$(MODULE) tools.fuzz

kill-and-resume: setup ## kill trainings of all papers at random, resume and compare them
	@$(MODULE) tools.kill_and_resume $(if $(KILLS),--kills $(call quote,$(KILLS)))

interpreters: setup ## set-up, audit, a table and tests of common/ with the other Pythons of 3.8 to 3.10
	@$(MODULE) tools.interpreters

deposit: setup ## pack finished runs, each with model card and checksum, into deposit/; RUN= one
	@$(MEDSEG) deposit $(if $(RUN),$(call place,$(RUN)))

bundle: ## collect packages, data and weights for a set-up without a network
	@$(MAKE) --silent --no-print-directory setup BUNDLE= GPU=
	@requirements/bundle.sh $(call place,$(or $(BUNDLE),bundle)) $(ROOT_OPTION) \
		$(if $(ENCODER_WEIGHTS),--encoder-weights $(call quote,$(ENCODER_WEIGHTS)))

IN_BROWSER := $(sort $(wildcard tests/reproductions/*/app/test_browser*.py) tests/common/report/test_html_in_browser.py)

test: setup ## the tests but for those in a browser; DATA_ROOT adds those that read real images
	@$(MODULE) pytest --numprocesses 2 --dist loadfile $(addprefix --ignore=,$(IN_BROWSER)) $(if $(filter-out 0,$(COVERAGE)),--cov --cov-report=term-missing)

test-browser: setup ## the page and the report in Chromium
	@$(MODULE) pytest --numprocesses 2 --dist loadfile $(IN_BROWSER)

lint: setup ## style, likely bugs and types, by ruff and mypy
	@$(MODULE) ruff check .
	@$(MODULE) ruff format --check .
	@$(MODULE) mypy

lock: setup ## recompile requirements/*.txt after a change to requirements/*.in
	cd requirements && for name in dev gpu uv build bench torch; do ../.venv/tools/bin/uv pip compile --quiet --universal \
		--python-version 3.8 --override override.in --generate-hashes --no-header --output-file $$name.txt $$name.in || exit; done

clean: ## remove caches and results/demo; never data/, runs/ or .venv
	rm -rf .cache .pytest_cache .ruff_cache .mypy_cache .hypothesis results/demo
	find . \( -name .venv -o -name .git \) -prune -o -name __pycache__ -prune -exec rm -rf {} +
