#!/bin/sh
# How the models that ship were made: simulate, pretrain without labels, fine-tune, evaluate.
# Run it in an empty folder; each step that was interrupted goes on where it stopped.
#   sh train_shipped_model.sh [GALAXIES] [PRETRAINING_EPOCHS] [FINE_TUNING_EPOCHS]
set -eu

galaxies=${1:-20500}
pretraining_epochs=${2:-12}
finetuning_epochs=${3:-15}

[ -e survey.h5 ] || photoz-ssl simulate -n "$galaxies" --seed 2026 -o survey.h5

[ -e pretrained/encoder.safetensors ] ||
    photoz-ssl pretrain survey.h5 -o pretrained --encoder resnet18-photometric \
        --epochs "$pretraining_epochs" --warmup-epochs 0.5 --batch-size 128 --batchnorm-groups 4 \
        --queue-size 4096 --key-momentum 0.99 --optimizer adamw --learning-rate 0.0015 \
        --max-reddening 0.05 --resume

[ -e joined.safetensors ] ||
    python "$(dirname "$0")/add_profile.py" survey.h5 --seed 2026 \
        --model pretrained/encoder.safetensors -o joined.safetensors

[ -e finetuned/photoz.safetensors ] ||
    photoz-ssl finetune survey.h5 -o finetuned --encoder pretrained/encoder.safetensors \
        --epochs "$finetuning_epochs" --batch-size 64 --optimizer adamw --learning-rate 0.0015 \
        --encoder-rate 1 --weight-decay 0.01 --schedule cosine --resume

photoz-ssl predict survey.h5 --model finetuned/photoz.safetensors --pdf -o survey.photoz.fits \
    --overwrite
photoz-ssl evaluate survey.photoz.fits --split test --plot figures --json metrics.json --overwrite

python "$(dirname "$0")/retrieval.py" survey.h5 --model pretrained/encoder.safetensors \
    -n 2000 --split test > retrieval.json
