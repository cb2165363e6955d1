#!/bin/sh
# How the model that ships was made: simulate, pretrain without labels, fine-tune, evaluate.
# Run it in an empty folder; each step that was interrupted goes on where it stopped.
#   sh train_shipped_model.sh [GALAXIES] [PRETRAINING_EPOCHS] [FINE_TUNING_EPOCHS]
set -eu

galaxies=${1:-20500}
pretraining_epochs=${2:-4}
finetuning_epochs=${3:-5}

[ -e survey.h5 ] || photoz-ssl simulate -n "$galaxies" --seed 2026 -o survey.h5

[ -e pretrained/encoder.safetensors ] ||
    photoz-ssl pretrain survey.h5 -o pretrained --encoder resnet18-compact \
        --epochs "$pretraining_epochs" --batch-size 256 --queue-size 8192 \
        --learning-rate 0.06 --resume

[ -e finetuned/photoz.safetensors ] ||
    photoz-ssl finetune survey.h5 -o finetuned --encoder pretrained/encoder.safetensors \
        --epochs "$finetuning_epochs" --batch-size 64 --optimizer adamw --learning-rate 0.0015 \
        --encoder-rate 1 --weight-decay 0.01 --schedule cosine --resume

photoz-ssl predict survey.h5 --model finetuned/photoz.safetensors --pdf -o survey.photoz.fits \
    --overwrite
photoz-ssl evaluate survey.photoz.fits --split test --plot figures --json metrics.json --overwrite
