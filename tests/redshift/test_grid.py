"""The redshift grid: where bins begin and end, and what lies in them."""

from __future__ import annotations

import numpy as np
import pytest

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.redshift.grid import RedshiftGrid


def test_the_default_is_the_grid_of_the_paper() -> None:
    grid = RedshiftGrid()
    assert grid.edges.shape == (181,)
    assert grid.edges[0] == 0
    assert grid.edges[-1] == 0.4
    assert grid.width == pytest.approx(0.4 / 180)


def test_each_centre_lies_in_its_own_bin() -> None:
    grid = RedshiftGrid(z_max=1.5, n_bins=37)
    np.testing.assert_array_equal(grid.bin_of(grid.centres), np.arange(37))


def test_each_lower_edge_belongs_to_its_bin_and_the_last_edge_to_the_last() -> None:
    grid = RedshiftGrid()
    expected = np.minimum(np.arange(181), 179)
    np.testing.assert_array_equal(grid.bin_of(grid.edges), expected)


def test_redshifts_beyond_the_grid_go_to_its_ends_and_nan_to_none() -> None:
    grid = RedshiftGrid()
    redshifts = [-0.01, 0.4, 7.0, np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(grid.bin_of(redshifts), [0, 179, 179, 179, 0, -1])


def test_the_shape_of_the_redshifts_is_kept_even_when_empty() -> None:
    grid = RedshiftGrid()
    assert grid.bin_of(np.zeros((2, 3))).shape == (2, 3)
    assert grid.bin_of([]).shape == (0,)


def test_a_grid_survives_its_dictionary() -> None:
    grid = RedshiftGrid(z_max=0.7, n_bins=70)
    assert RedshiftGrid.from_dict(grid.to_dict()) == grid


@pytest.mark.parametrize(("z_max", "n_bins"), [(0.0, 10), (-1.0, 10), (np.nan, 10), (0.4, 0)])
def test_a_grid_without_extent_is_refused(z_max: float, n_bins: int) -> None:
    with pytest.raises(ConfigError):
        RedshiftGrid(z_max=z_max, n_bins=n_bins)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"z_max": "wide", "n_bins": 3},
        {"z_max": 0.4},
        {"z_max": 0.4, "n_bins": np.inf},
        {"z_max": 0.4, "n_bins": 3.0},
        {"z_max": 0.4, "n_bins": True},
        {"z_max": 0.4, "n_bins": 1 << 40},
        {"z_max": np.nan, "n_bins": 3},
    ],
)
def test_a_damaged_description_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="redshift grid"):
        RedshiftGrid.from_dict(fields)
