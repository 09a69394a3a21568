# CPU:  docker build --tag medseg .
#       docker run --rm --volume "$PWD/results:/medseg/results" medseg make demo
# GPU:  docker build --build-arg GPU=1 --tag medseg-gpu .
#       docker run --rm --gpus all --volume "$PWD/runs:/medseg/runs" --volume "$PWD/data:/medseg/data" \
#         --volume "$PWD/results:/medseg/results" medseg-gpu make tnbc-table1
# What lies in no volume is gone at the end. Files belong to root, or with
#       --user "$(id -u):$(id -g)" --env HOME=/tmp to you.
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
# The project itself is installed by a second set-up, which takes seconds. The folders are for volumes; the commit is
# recorded with results, and git tells it to users other than root only of folders that are named to it.
RUN touch requirements/dev.txt && make setup GPU=$GPU \
 && mkdir -p data runs && git config --system --add safe.directory /medseg \
 && make doctor
ENV PATH=/medseg/.venv/bin:$PATH
CMD ["make", "help"]
