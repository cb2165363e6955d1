"""One frozen, inert configuration per command; every default lives here, once.

A field becomes the option of the same name (``learning_rate`` → ``--learning-rate``); its
metadata holds the help text and, where they differ from the rule, the flags. Fields without
a default are the command's arguments or required options. Nothing here touches a disk.
"""

from __future__ import annotations

from photoz_ssl.config.images import CatalogImages, Inference
from photoz_ssl.config.redshifts import EvaluateConfig, MergeConfig, PredictConfig
from photoz_ssl.config.search import BrowseConfig, EmbedConfig, SimilarConfig
from photoz_ssl.config.surveys import SPLITS, ConvertConfig, PrepareConfig, SimulateConfig
from photoz_ssl.config.training import (
    FinetuneConfig,
    LabelEfficiencyConfig,
    PretrainConfig,
    SupervisedConfig,
    TrainingConfig,
)

__all__ = [
    "SPLITS",
    "BrowseConfig",
    "CatalogImages",
    "ConvertConfig",
    "EmbedConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "Inference",
    "LabelEfficiencyConfig",
    "MergeConfig",
    "PredictConfig",
    "PrepareConfig",
    "PretrainConfig",
    "SimilarConfig",
    "SimulateConfig",
    "SupervisedConfig",
    "TrainingConfig",
]
