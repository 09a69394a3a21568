# The decision-support page. Included by the Makefile; `make help` reads the sentences after "## ".

## PORT (8866): port of brain-ui on 127.0.0.1; 0 takes any that is free
PORT ?=

.PHONY: brain-ui

brain-ui: setup ## the decision-support page on 127.0.0.1: upload brain MR images, see and measure what is found
	@.venv/bin/python -m reproductions.brain_tumour_mask_rcnn.app.serve $(ROOT_OPTION) \
		$(if $(PORT),--port $(call quote,$(PORT))) $(if $(RUN),--run $(call quote,$(RUN)))
