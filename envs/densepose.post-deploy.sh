#!/usr/bin/env bash
# Snakemake runs this inside the new conda environment, from the folder where it was started (the checkout).
set -euo pipefail
python -m pip install --no-deps --require-hashes -r envs/core.txt
python -m pip install torch==2.13.0 torchvision==0.28.0
python -m pip install --no-deps --require-hashes -r envs/torch.txt
python -m pip install --no-deps --require-hashes -r envs/densepose.txt
CUDA_VISIBLE_DEVICES='' python -m pip install --no-deps --no-build-isolation -r envs/detectron2.txt
