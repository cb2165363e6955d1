"""The bins that a redshift PDF is a histogram over (method section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.scalars import require_types

__all__ = ["RedshiftGrid"]

MOST_BINS = 100_000


@dataclass(frozen=True)
class RedshiftGrid:
    """Equal bins from redshift 0 to ``z_max``; the defaults are the paper's.

    Parameters
    ----------
    z_max : float
        Upper edge of the last bin.
    n_bins : int
        Number of bins.

    Raises
    ------
    ConfigError
        If ``z_max`` is not a positive number, or there is no bin, or more than `MOST_BINS`.
    """

    z_max: float = 0.4
    n_bins: int = 180

    def __post_init__(self) -> None:
        if not 0 < self.z_max < np.inf:
            raise ConfigError(f"a redshift grid cannot end at z = {self.z_max}")
        if not 1 <= self.n_bins <= MOST_BINS:
            raise ConfigError(f"a redshift grid cannot have {self.n_bins} bins")

    @property
    def width(self) -> float:
        """Width of a bin in redshift."""
        return self.z_max / self.n_bins

    @cached_property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, shape (n_bins + 1,); 0 and ``z_max`` are exact."""
        return np.linspace(0.0, self.z_max, self.n_bins + 1)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Centres of the bins, shape (n_bins,)."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    def bin_of(self, redshift: ArrayLike) -> NDArray[np.int64]:
        """Number of the bin that each redshift lies in.

        Parameters
        ----------
        redshift : array_like, shape (...)
            A redshift on an edge belongs to the upper bin.

        Returns
        -------
        ndarray, shape (...), int64
            From 0; redshifts of ``z_max`` and beyond go to the last bin, negative ones to
            the first, and NaN gives -1.
        """
        redshift = np.asarray(redshift, dtype=np.float64)
        known = ~np.isnan(redshift)
        below = np.searchsorted(self.edges, np.where(known, redshift, 0.0), side="right") - 1
        return np.where(known, np.clip(below, 0, self.n_bins - 1), -1).astype(np.int64)

    def to_dict(self) -> dict[str, float | int]:
        """The grid as plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RedshiftGrid:
        """Rebuild a grid from `to_dict`.

        Raises
        ------
        CheckpointError
            If the fields are not those of a grid.
        """
        try:
            require_types(fields, cls)
            return cls(z_max=float(fields["z_max"]), n_bins=fields["n_bins"])
        except (AttributeError, KeyError, OverflowError, TypeError, ConfigError) as error:
            raise CheckpointError(f"not a redshift grid: {fields!r:.200}") from error
