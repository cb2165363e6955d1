"""The step of momentum contrast: which way its views are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from photoz_ssl.config import PretrainConfig
from photoz_ssl.datasets.compiled_views import VIEWS_WORTH_COMPILING
from photoz_ssl.datasets.galaxies import GalaxyBatch, Rows
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.survey.bands import R_SF11
from photoz_ssl.training import contrastive
from photoz_ssl.training.contrastive import contrastive_step, measure_band_mad

N = 8


class Asked(Exception):  # noqa: N818 - it is no error
    """Views were asked for."""


@pytest.mark.parametrize(("n_steps", "compiled"), [(10, False), (VIEWS_WORTH_COMPILING, True)])
def test_views_are_compiled_where_a_run_is_long(
    n_steps: int, compiled: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def views(*_: Tensor, **options: Any) -> Tensor:
        raise Asked(options["compiled"])

    monkeypatch.setattr(contrastive, "pretraining_views", views)
    config = PretrainConfig(archive=tmp_path, output=tmp_path, batch_size=N)
    step = contrastive_step(nn.Identity(), torch.ones(5), config, n_steps=n_steps)
    batch = GalaxyBatch(torch.zeros(N, 5, 64, 64), torch.zeros(N), torch.zeros(N))
    with pytest.raises(Asked) as asked:
        step(batch, Generator())
    assert asked.value.args == (compiled,)


def test_views_are_made_as_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def views(*_: Any, **options: Any) -> Tensor:
        raise Asked(options)

    monkeypatch.setattr(contrastive, "pretraining_views", views)
    wanted: dict[str, Any] = {
        "max_reddening": 0.2,
        "max_shift": 3,
        "noise_range": (0.5, 2.0),
        "mirror": False,
    }
    config = PretrainConfig(archive=tmp_path, output=tmp_path, batch_size=N, **wanted)
    step = contrastive_step(nn.Identity(), torch.ones(5), config)
    with pytest.raises(Asked) as asked:
        step(GalaxyBatch(torch.zeros(N, 5, 64, 64), torch.zeros(N), torch.zeros(N)), Generator())
    assert {name: asked.value.args[0][name] for name in wanted} == wanted


@pytest.mark.parametrize("n_galaxies", [24, 25, 39, 40])
def test_the_noise_is_scaled_by_stamps_from_all_of_an_archive(
    n_galaxies: int, tiny_archive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def remembered(archive: Archive, rows: Rows) -> GalaxyBatch:
        seen.extend(rows.tolist())
        return GalaxyBatch(
            torch.zeros(len(rows), 5, 64, 64), torch.zeros(len(rows)), torch.empty(0)
        )

    monkeypatch.setattr(contrastive, "MAD_SAMPLE", 20)
    monkeypatch.setattr(contrastive, "gather", remembered)
    measure_band_mad(open_archive(tiny_archive), np.arange(n_galaxies))
    assert len(set(seen)) == 20
    assert seen[0] == 0
    assert seen[-1] == n_galaxies - 1


def test_the_noise_is_scaled_by_dereddened_stamps(tiny_archive: Any) -> None:
    archive = open_archive(tiny_archive)
    rows = np.arange(len(archive))
    archive.ebv[:] = 0.0
    clean = measure_band_mad(archive, rows)
    archive.ebv[:] = 1.0
    brightening = torch.tensor(10 ** (0.4 * R_SF11), dtype=torch.float32)
    torch.testing.assert_close(measure_band_mad(archive, rows), clean * brightening)
