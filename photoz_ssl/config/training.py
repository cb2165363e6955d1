"""Options of the commands that learn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.fields import (
    PRECISIONS,
    argument,
    device_option,
    option,
    output_option,
    overwrite_option,
    refuse_seed,
    refuse_unless,
    required_option,
)
from photoz_ssl.recipes import RECIPES
from photoz_ssl.spec import MOST_REDDENING

__all__ = [
    "FinetuneConfig",
    "LabelEfficiencyConfig",
    "PretrainConfig",
    "SupervisedConfig",
    "TrainingConfig",
]

LARGEST_SHIFT = 32
"""Pixels: half the side of what a network sees."""

LONGEST_QUEUE = 1 << 24
"""Keys; some 9 GB of them."""

LONGEST_PROJECTION = 1 << 16
"""Numbers of a contrasted vector; no network here has so long a representation."""

LARGEST_NUMBER = 1e38
"""That a network, in 32 bits, can be multiplied by."""

NARROWEST_BLUR = 0.01
"""Bins; a Gaussian that is narrower is none in the numbers of a network."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What both ways of training have in common."""

    archive: Path = argument("Archive of galaxies, from prepare or simulate.")
    output: Path = output_option("Run folder")
    recipe: str | None = option(
        None,
        "Published constants to train by; an option given beside it wins, and is told.",
        choices=tuple(RECIPES),
    )
    epochs: int = option(100, "Passes over the training galaxies.")
    batch_size: int = option(256, "Galaxies a step.")
    optimizer: str = option("sgd", "SGD, as in the paper, or AdamW.", choices=("sgd", "adamw"))
    momentum: float = option(0.9, "Momentum of SGD.")
    mirror: bool = option(True, "Mirror half of the views: the sky has no handedness.")
    seed: int = option(0, "Seed of weights, order and views.")
    device: str = device_option()
    precision: str = option(
        "auto",
        "Arithmetic of the network: auto is bf16 on a GPU that computes in it, else fp32.",
        choices=PRECISIONS,
    )
    resume: bool = option(False, "Go on from the last checkpoint in the run folder.")
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.epochs > 0, "--epochs must be positive")
        refuse_unless(self.batch_size > 1, "--batch-size must be at least 2")
        refuse_seed(self.seed)
        refuse_unless(0 <= self.momentum < 1, "--momentum must lie in [0, 1)")
        refuse_unless(not (self.resume and self.overwrite), "--resume and --overwrite conflict")


def _refuse_what_teaches_nothing(rate: float, decay: float, max_shift: int) -> None:
    refuse_unless(0 < rate <= LARGEST_NUMBER, "--learning-rate must be positive, and below 1e38")
    refuse_unless(0 <= decay <= LARGEST_NUMBER, "--weight-decay cannot be negative, nor above 1e38")
    refuse_unless(
        0 <= max_shift <= LARGEST_SHIFT,
        f"--max-shift must lie in [0, {LARGEST_SHIFT}], lest galaxies leave their views",
    )


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Options of ``photoz-ssl pretrain`` (method sections 3 and 4)."""

    encoder: str = option("resnet50", "Preset of the encoder, or an encoder file to go on from.")
    learning_rate: float = option(0.03, "Peak rate, for this batch size.")
    weight_decay: float = option(1e-4, "Weight decay.")
    warmup_epochs: float = option(0.0, "Epochs of linear warm-up before the cosine schedule.")
    queue_size: int = option(65536, "Keys in the queue.")
    temperature: float = option(0.1, "Temperature of InfoNCE.")
    key_momentum: float = option(0.999, "Momentum of the key encoder.")
    projection_size: int = option(128, "Length of the contrasted vectors.")
    batchnorm_groups: int = option(8, "Groups into which BatchNorm splits a batch of keys.")
    max_reddening: float = option(0.5, "Largest E(B-V) that a view is reddened by.")
    max_shift: int = option(7, "Largest shift of a view, pixels.")
    noise_range: tuple[float, ...] = option(
        (1.0, 3.0), "Range of the added noise in units of each band's MAD."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_what_teaches_nothing(self.learning_rate, self.weight_decay, self.max_shift)
        refuse_unless(0 < self.temperature < math.inf, "--temperature must be positive")
        refuse_unless(0 <= self.key_momentum <= 1, "--key-momentum must lie in [0, 1]")
        refuse_unless(
            0 < self.queue_size <= LONGEST_QUEUE, f"--queue-size must lie in [1, {LONGEST_QUEUE}]"
        )
        refuse_unless(
            0 < self.projection_size <= LONGEST_PROJECTION,
            f"--projection-size must lie in [1, {LONGEST_PROJECTION}]",
        )
        refuse_unless(0 <= self.warmup_epochs < math.inf, "--warmup-epochs cannot be negative")
        refuse_unless(
            self.warmup_epochs < self.epochs,
            "--warmup-epochs must be less than --epochs, lest the rate never reach its peak",
        )
        refuse_unless(
            0 <= self.max_reddening <= MOST_REDDENING,
            f"--max-reddening cannot be negative, nor above {MOST_REDDENING:g}",
        )
        refuse_unless(self.batchnorm_groups > 0, "--batchnorm-groups must be positive")
        refuse_unless(
            self.batch_size % self.batchnorm_groups == 0,
            "--batch-size must be a multiple of --batchnorm-groups",
        )
        refuse_unless(
            len(self.noise_range) == 2
            and 0 <= self.noise_range[0] <= self.noise_range[1] <= LARGEST_NUMBER,
            "--noise-range takes two numbers such as 1,3",
        )


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(TrainingConfig):
    """How redshifts are learnt from labels (method section 4)."""

    learning_rate: float = option(0.004, "Initial rate of the head.")
    encoder_rate: float | None = option(
        None,
        "Rate of a pretrained encoder relative to the head's, 0 freezes it; from scratch it is 1"
        " [default: the number of labels over 3,000, but 0.1 to 1].",
    )
    weight_decay: float = option(0.0, "Weight decay.")
    schedule: str = option(
        "steps", "Steps: x0.1 at 60 % and 90 % of the epochs.", choices=("steps", "cosine")
    )
    label_blur: float | None = option(
        None,
        "Spread of a label over redshift bins, in bins, 0 for none"
        " [default: 110 over the cube root of the number of labels].",
    )
    max_shift: int = option(7, "Largest shift of a view, pixels.")

    def __post_init__(self) -> None:
        super().__post_init__()
        _refuse_what_teaches_nothing(self.learning_rate, self.weight_decay, self.max_shift)
        refuse_unless(
            0 <= (self.encoder_rate or 0) * self.learning_rate <= LARGEST_NUMBER,
            "--encoder-rate cannot be negative, nor, times --learning-rate, above 1e38",
        )
        refuse_unless(
            not self.label_blur or NARROWEST_BLUR <= self.label_blur < math.inf,
            f"--label-blur takes 0, or {NARROWEST_BLUR} bins and more",
        )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(SupervisedConfig):
    """Options of ``photoz-ssl finetune``."""

    encoder: str = option(
        "resnet50", "Encoder file to start from, or a preset to train from scratch."
    )
    label_fraction: float = option(1.0, "Fraction of the training labels to use.")
    calibrate: bool = option(
        False, "At the end, also make the model into an 8-bit one, for --precision int8."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(0 < self.label_fraction <= 1, "--label-fraction must lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class LabelEfficiencyConfig(SupervisedConfig):
    """Options of ``photoz-ssl experiment label-efficiency``; the rest are those of finetune."""

    encoder: str = required_option("Pretrained encoder file to fine-tune.")
    fractions: tuple[float, ...] = option(
        (0.01, 0.05, 0.1, 0.2, 0.5, 1.0), "Fractions of the training labels."
    )
    n_seeds: int = option(3, "Trainings a fraction, each on other labels.", flags=("--seeds",))
    min_steps: int = option(0, "Steps at least, by more epochs where labels are few.")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(
            all(0 < fraction <= 1 for fraction in self.fractions),
            "--fractions takes numbers in (0, 1], such as 0.01,0.1,1",
        )
        refuse_unless(self.n_seeds > 0, "--seeds must be positive")
        refuse_unless(self.min_steps >= 0, "--min-steps cannot be negative")
