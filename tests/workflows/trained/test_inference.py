"""A trained model as the workflows use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.trained.inference import Predictor


def test_the_mean_over_all_quarter_turns_does_not_depend_on_which_way_is_up(
    tiny_archive: Path,
) -> None:
    archive = open_archive(tiny_archive)
    images, ebv = np.array(archive.images[:4]), archive.ebv[:4]
    turned = np.ascontiguousarray(np.rot90(images[..., 1:, 1:], axes=(-2, -1)))
    upright = np.ascontiguousarray(images[..., 1:, 1:])
    one, eight = (Predictor.load(None, "cpu", n_views=n_views) for n_views in (1, 8))
    np.testing.assert_allclose(eight.pdf(upright, ebv), eight.pdf(turned, ebv), atol=1e-6)
    assert np.abs(one.pdf(upright, ebv) - one.pdf(turned, ebv)).max() > 1e-4


def test_the_mean_over_views_is_a_pdf(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    predictor = Predictor.load(None, "cpu", n_views=2)
    pdf = predictor.pdf(np.array(archive.images[:2]), archive.ebv[:2])
    np.testing.assert_allclose(pdf.sum(axis=1), 1)
