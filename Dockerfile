# CPU:  docker build --tag medseg .
#       docker run --rm --volume "$PWD/results:/medseg/results" medseg make demo
# GPU:  docker build --build-arg GPU=1 --tag medseg-gpu .
#       docker run --rm --gpus all --volume "$PWD/runs:/medseg/runs" medseg-gpu make tnbc-table1
# The cluster's container: docs/scale.md, "Apptainer". On Apple silicon: --platform linux/amd64.
FROM python:3.10-slim

ARG GPU=0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /medseg
# The packages first: they change rarely, and are most of the image.
COPY Makefile ./
COPY requirements requirements
RUN make setup GPU=$GPU && rm -rf ~/.cache
COPY . .
# The project itself is installed by a second set-up, which takes seconds.
RUN touch requirements/dev.txt && make setup GPU=$GPU && make doctor
CMD ["make", "help"]
