"""Published ways of training: every constant with its source, written out once.

The defaults of `photoz_ssl.config` may change where we measure better; a recipe never does.
The marks say where a number is from: ``[code]`` is read in the authors' published code,
``[paper]`` stands in the paper, ``[field]`` is the field's usual value where neither says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["RECIPES", "Constant", "departures", "recipe_values"]


@dataclass(frozen=True)
class Constant:
    """A number of a recipe.

    Parameters
    ----------
    value
        What the config's field of the same name is set to.
    source : str
        Where it is from.
    """

    value: Any
    source: str


_MOCO = "[field] He et al. 2020 (MoCo), section 4"
_MOCO_V2 = "[field] Chen et al. 2020 (MoCo v2)"
_BASELINE = "[code] the supervised baseline"

_HAYAT2020_PRETRAIN = {
    "encoder": Constant("resnet50", "[paper] ResNet-50; [code] stride-1 stem, no max-pool"),
    "epochs": Constant(100, "[code]"),
    "batch_size": Constant(256, _MOCO),
    "optimizer": Constant("sgd", _MOCO),
    "momentum": Constant(0.9, _MOCO),
    "learning_rate": Constant(0.03, _MOCO + ", for batches of 256"),
    "weight_decay": Constant(1e-4, _MOCO),
    "warmup_epochs": Constant(0.0, _MOCO_V2 + ": a cosine without warm-up"),
    "queue_size": Constant(65536, _MOCO),
    "temperature": Constant(0.1, "[field]"),
    "key_momentum": Constant(0.999, _MOCO),
    "projection_size": Constant(128, _MOCO_V2 + ": an MLP, 2048 to 2048 to 128"),
    "batchnorm_groups": Constant(8, "[field] He et al. 2020, section 3.3: shuffled over 8 GPUs"),
    "max_reddening": Constant(0.5, "[code] E(B-V) ~ U(0, 0.5)"),
    "max_shift": Constant(7, "[code] integers -7 to 7 an axis"),
    "noise_range": Constant((1.0, 3.0), "[field] 1 to 3 MAD of each band"),
    "mirror": Constant(False, "[code] views are rotated, not mirrored"),
}

_HAYAT2020_FINETUNE = {
    "encoder": Constant("resnet50", "[code] from scratch, or an encoder file of this network"),
    "epochs": Constant(100, _BASELINE),
    "batch_size": Constant(256, _BASELINE),
    "optimizer": Constant("sgd", _BASELINE),
    "momentum": Constant(0.9, _BASELINE),
    "learning_rate": Constant(0.004, _BASELINE),
    "encoder_rate": Constant(0.1, "[paper] a pretrained encoder at a tenth of the head's rate"),
    "weight_decay": Constant(0.0, _BASELINE),
    "schedule": Constant("steps", _BASELINE + ": x0.1 at epochs 60 and 90 of 100"),
    "label_blur": Constant(0.0, "[paper] a redshift's bin is its class"),
    "max_shift": Constant(7, _BASELINE),
    "mirror": Constant(False, "[code] views are rotated, not mirrored"),
}

_HAYAT2020_LABEL_EFFICIENCY = {
    name: constant for name, constant in _HAYAT2020_FINETUNE.items() if name != "encoder"
}
"""It fine-tunes an encoder that has to be named, and trains the same network from scratch."""

RECIPES: Mapping[str, Mapping[str, Mapping[str, Constant]]] = MappingProxyType(
    {
        "hayat2020": MappingProxyType(
            {
                "pretrain": MappingProxyType(_HAYAT2020_PRETRAIN),
                "finetune": MappingProxyType(_HAYAT2020_FINETUNE),
                "label-efficiency": MappingProxyType(_HAYAT2020_LABEL_EFFICIENCY),
            }
        )
    }
)
"""Recipe, command and field to its constant: Hayat et al. (2020), arXiv 2101.04293, 2012.13083."""


def recipe_values(recipe: str, command: str) -> dict[str, Any]:
    """The values of a recipe by field, as a config takes them.

    ``PretrainConfig(archive=…, output=…, recipe=name, **recipe_values(name, "pretrain"))``
    is what ``pretrain --recipe NAME`` does.
    """
    return {name: constant.value for name, constant in RECIPES[recipe][command].items()}


def departures(recipe: str, command: str, values: Mapping[str, Any]) -> dict[str, Constant]:
    """The constants of a recipe that a run has otherwise.

    Parameters
    ----------
    recipe, command : str
        As in `RECIPES`.
    values : mapping
        The run's value of each field.
    """
    constants = RECIPES[recipe][command]
    return {name: wanted for name, wanted in constants.items() if values[name] != wanted.value}
