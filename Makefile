# Every target calls one module in .venv, which is made first where it is missing. `make` alone prints the help.
# The help is read from this file: "## " after a target, and "## NAME (default): " above a variable.

## DATA_ROOT (data/): folder with local copies of the data sets; what is missing there is an error, not a download
DATA_ROOT ?=
## SEEDS (0): seeds to train and evaluate, e.g. SEEDS="0 1 2"
SEEDS ?= 0
## PROTOCOL (both): published | corrected
PROTOCOL ?=
## PROFILE (paper): paper | quick | smoke
PROFILE ?=
## ENCODER_WEIGHTS (imagenet): imagenet | none | an .h5 file; single encoders after commas: none,vgg16=FILE
ENCODER_WEIGHTS ?=
## PRECISION (float32): float32 | mixed_bfloat16 | mixed_float16
PRECISION ?=
## CLUSTER (none): runs on many machines, tcp://host:8786 of a Dask scheduler, or on as many workers here; docs/scale.md
CLUSTER ?=
## GPU (no): 1 adds the CUDA libraries to .venv (Linux, 3 GB); once is enough
GPU ?=
## MODEL (newest): run folder whose network brain-ui shows; where there is none, it trains one on synthetic images
MODEL ?=
## QUICK (no): 1 makes bench take two minutes instead of twenty
QUICK ?=
## TORCH (no): 1 adds segmentation_models_pytorch and MONAI to bench, in .venv/torch (Linux, 6 GB); once is enough
TORCH ?=
## KILLS (20): how many trainings soak kills; 1000 take a night
KILLS ?=
## BUNDLE (none): folder that bundle fills (bundle/) and setup then installs from without a network; docs/offline.md
BUNDLE ?=
## PYTHON (found): interpreter to make .venv from, CPython 3.8 to 3.10
PYTHON ?=

OPTIONS = $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)") $(if $(SEEDS),--seeds $(SEEDS)) \
	$(if $(PROTOCOL),--protocol $(PROTOCOL)) $(if $(PROFILE),--profile $(PROFILE)) \
	$(if $(ENCODER_WEIGHTS),--encoder-weights "$(ENCODER_WEIGHTS)") $(if $(PRECISION),--precision $(PRECISION)) \
	$(if $(CLUSTER),--cluster "$(CLUSTER)")

# The tests read DATA_ROOT from the environment, where an empty one would look like a folder.
ifneq ($(DATA_ROOT),)
export DATA_ROOT
else
unexport DATA_ROOT
endif
export GPU PYTHON BUNDLE

RUN := .venv/bin/python -m
READY := .venv/.ready$(if $(filter-out 0,$(GPU)),-gpu)

.PHONY: help setup data-tnbc tnbc-table1 tnbc-table2 tnbc-figure2 data-busi busi-table1 busi-params busi-table3 \
	busi-table4 busi-figure9 busi-figure10 busi-figure11 busi-figure13 busi-duplicates data-brecahad brecahad-table1 \
	brecahad-table2 brecahad-table3 brecahad-figure5 brecahad-figure6 data-polyp polyp-table \
	polyp-ablation data-brain brain-table brain-splits brain-figure brain-ui audit readme report demo bench soak bundle test lint lock clean

help: ## this page
	@awk 'BEGIN { print "make TARGET [VARIABLE=value ...]\n\nTargets" } \
	/^[a-z][a-z0-9-]*:.*## / { target = $$1; sub(/:.*/, "", target); sub(/.*## /, ""); printf "  %-16s %s\n", target, $$0 } \
	/^## [A-Z_]+ \(/ { name = $$2; value = $$3; gsub(/[():]/, "", value); sub(/^[^:]*: /, ""); \
		variables = variables sprintf("  %-16s %-9s %s\n", name, value, $$0) } \
	END { printf "\nVariables        default   meaning\n%s", variables }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make .venv with everything in it; happens by itself before the other targets

.venv/.ready: requirements/dev.txt requirements/uv.txt
	@requirements/setup.sh

.venv/.ready-gpu: requirements/dev.txt requirements/uv.txt requirements/gpu.txt
	@requirements/setup.sh

.venv/.ready-bench: requirements/dev.txt requirements/uv.txt requirements/bench.txt
	@BENCH=1 requirements/setup.sh

.venv/torch/.ready: requirements/torch.txt | setup
	.venv/tools/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv/torch
	.venv/tools/bin/uv pip sync --python .venv/torch/bin/python --require-hashes requirements/torch.txt
	@touch $@

data-tnbc: setup ## find or download the TNBC nuclei images and verify them
	$(RUN) common.datasets.manifests tnbc $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)")

tnbc-table1: setup ## LinkNet ensemble on TNBC, table 1: train what is missing, evaluate, compare
	$(RUN) reproductions.tnbc_linknet.eval table1 $(OPTIONS)

tnbc-table2: setup ## the same ensemble beside the literature, table 2
	$(RUN) reproductions.tnbc_linknet.eval table2 $(OPTIONS)

tnbc-figure2: setup ## input, truth and the three predictions per test image, figure 2
	$(RUN) reproductions.tnbc_linknet.eval figure2 $(OPTIONS)

data-busi: setup ## find or download the BUSI ultrasound images and verify them
	$(RUN) common.datasets.manifests busi $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)")

busi-table1: setup ## BUSI, table 1: count the images by class; no training
	$(RUN) reproductions.busi_resnext_unet.eval table1 $(OPTIONS)

busi-params: setup ## count the parameters of the three U-Nets; no data, no training
	$(RUN) reproductions.busi_resnext_unet.eval params $(OPTIONS)

busi-table3: setup ## three U-Nets on BUSI, table 3: train what is missing, evaluate, compare
	$(RUN) reproductions.busi_resnext_unet.eval table3 $(OPTIONS)

busi-table4: setup ## the ResNeXt-50 U-Net beside the literature, table 4
	$(RUN) reproductions.busi_resnext_unet.eval table4 $(OPTIONS)

busi-figure9: setup ## IoU and loss per epoch of the three U-Nets, figure 9
	$(RUN) reproductions.busi_resnext_unet.eval figure9 $(OPTIONS)

busi-figure10: setup ## test images with true and predicted masks, figure 10
	$(RUN) reproductions.busi_resnext_unet.eval figure10 $(OPTIONS)

busi-figure11: setup ## bars of pixel accuracy, IoU and Dice, figure 11
	$(RUN) reproductions.busi_resnext_unet.eval figure11 $(OPTIONS)

busi-figure13: setup ## predictions from the smallest to the largest test image, figure 13
	$(RUN) reproductions.busi_resnext_unet.eval figure13 $(OPTIONS)

busi-duplicates: setup ## find the near-duplicate images of BUSI and write their list
	$(RUN) reproductions.busi_resnext_unet.eval duplicates $(OPTIONS)

data-brecahad: setup ## find or download the BreCaHAD histology images and verify them; or the copy of 30 of them
	$(RUN) common.datasets.manifests brecahad brecahad_30 $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)")

brecahad-table1: setup ## U-net on BreCaHAD with and without preprocessing and augmentation, table 1
	$(RUN) reproductions.brecahad_slicing.eval table1 $(OPTIONS)

brecahad-table2: setup ## U-net on nine sets of tiles cut from BreCaHAD, table 2
	$(RUN) reproductions.brecahad_slicing.eval table2 $(OPTIONS)

brecahad-table3: setup ## U-Net with a ResNet50 encoder on the same nine sets, table 3
	$(RUN) reproductions.brecahad_slicing.eval table3 $(OPTIONS)

brecahad-figure5: setup ## nuclei that the U-nets find, miss and invent on a test image, figure 5
	$(RUN) reproductions.brecahad_slicing.eval figure5 $(OPTIONS)

brecahad-figure6: setup ## the same for the U-Nets with a ResNet50 encoder, figure 6
	$(RUN) reproductions.brecahad_slicing.eval figure6 $(OPTIONS)

data-polyp: setup ## find or download PolypGen and verify it; in a DATA_ROOT without it, the Kvasir-SEG stand-in
	$(RUN) common.datasets.manifests polypgen kvasir_standin $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)")

polyp-table: setup ## U-Net on polyps: as published, mistakes included, and corrected, side by side
	$(RUN) reproductions.polyp_unet.eval table $(OPTIONS)

polyp-ablation: setup ## the improvements that the source suggests: losses, attention, tuned threshold
	$(RUN) reproductions.polyp_unet.eval ablation $(OPTIONS)

brain-ui: setup ## the decision-support page on 127.0.0.1: upload a brain MR image, see and measure what is found
	$(RUN) reproductions.brain_tumour_mask_rcnn.app.serve $(if $(MODEL),--run "$(MODEL)")

data-brain: setup ## find the brain MR images and verify them
	$(RUN) common.datasets.manifests brain_mri $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)")

brain-table: setup ## Mask R-CNN on brain MR images: train what is missing, evaluate; the source publishes no scores
	$(RUN) reproductions.brain_tumour_mask_rcnn.eval table $(OPTIONS)

brain-splits: setup ## count images and polygons, and the tumours that parts of the split share; no training
	$(RUN) reproductions.brain_tumour_mask_rcnn.eval splits $(OPTIONS)

brain-figure: setup ## all test images with what was found, and sensitivity by false positives
	$(RUN) reproductions.brain_tumour_mask_rcnn.eval figure $(OPTIONS)

audit: setup ## check the published numbers of all papers against arithmetic and each other: no data, seconds
	$(RUN) common.published.audit --csv results/audit.csv

readme: setup ## bring the tables in the README files up to date with results/
	$(RUN) common.results.readme

report: setup ## write results/index.html: every published number, what was regenerated of it, and the verdict
	$(RUN) common.report.html

demo: setup ## every table within minutes on synthetic images: no data, no network, no GPU
	$(RUN) tools.demo

bench: setup .venv/.ready-bench $(if $(filter-out 0,$(TORCH)),.venv/torch/.ready) ## speed beside other libraries, into results/bench
	$(RUN) tools.bench $(if $(filter-out 0,$(QUICK)),--quick)

soak: setup ## kill trainings of all papers at random moments, resume them, and compare what they end with
	$(RUN) tools.kill_and_resume $(if $(KILLS),--kills $(KILLS))

bundle: ## collect packages, data sets and encoder weights at hand in a folder, for make setup BUNDLE= without a network
	@$(MAKE) --silent --no-print-directory setup BUNDLE= GPU=
	@requirements/bundle.sh "$(or $(BUNDLE),bundle)" $(if $(DATA_ROOT),--data-root "$(DATA_ROOT)") \
		$(if $(ENCODER_WEIGHTS),--encoder-weights "$(ENCODER_WEIGHTS)")

test: setup ## the tests; DATA_ROOT adds those that read real images
	$(RUN) pytest --numprocesses 2 --dist loadfile

lint: setup ## style and likely bugs, by ruff
	$(RUN) ruff check .
	$(RUN) ruff format --check .

lock: setup ## recompile requirements/*.txt after a change to requirements/*.in
	cd requirements && for name in dev gpu uv build bench torch; do ../.venv/tools/bin/uv pip compile --quiet --universal \
		--python-version 3.8 --override override.in --generate-hashes --no-header --output-file $$name.txt $$name.in || exit; done

clean: ## remove caches and results/demo; never data/, runs/ or .venv
	rm -rf .cache .pytest_cache .ruff_cache .hypothesis results/demo
	find . \( -name .venv -o -name .git \) -prune -o -name __pycache__ -prune -exec rm -rf {} +
