"""What the columns of a redshift table are called: the names of several communities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["NAMES", "known_names"]

NAMES: Mapping[str, Mapping[str, str]] = {
    "legacy": {
        **{"mean": "Z_PHOT_MEAN", "median": "Z_PHOT_MEDIAN", "mode": "Z_PHOT_MODE"},
        **{"std": "Z_PHOT_STD", "odds": "Z_PHOT_ODDS"},
        **{"l68": "Z_PHOT_L68", "u68": "Z_PHOT_U68", "l95": "Z_PHOT_L95", "u95": "Z_PHOT_U95"},
    },
    "sdss": {
        **{"mean": "z", "median": "zMedian", "mode": "zMode", "std": "zErr", "odds": "zOdds"},
        **{"l68": "zL68", "u68": "zU68", "l95": "zL95", "u95": "zU95"},
    },
    "rail": {
        **{"mean": "zmean", "median": "zmedian", "mode": "zmode", "std": "zstd", "odds": "zodds"},
        **{"l68": "zl68", "u68": "zu68", "l95": "zl95", "u95": "zu95"},
    },
    "lsst": {
        **{"mean": "z_mean", "median": "z_median", "mode": "z_mode", "std": "z_std"},
        **{"l68": "z_err68_low", "u68": "z_err68_high"},
        **{"l95": "z_err95_low", "u95": "z_err95_high", "odds": "z_odds"},
    },
}
"""For each style the column of each field of `photoz_ssl.redshift.estimates.PointEstimates`.

legacy: the DESI Legacy Surveys' photo-z sweeps (Zhou et al. 2021). sdss: the table Photoz of
CasJobs (``z``, ``zErr``). rail: what RAIL adds to an ensemble (``zmode``, ``zmean``, ``zmedian``).
lsst: the photo-z tables of Rubin's Data Preview 1 (``z_mode``, ``z_err68_low``). What a community
has no name for is called in its manner.
"""

TELLING = ("mean", "median", "mode")
"""The fields by which a table's style is known: ``z`` alone may be a spectroscopic redshift."""


def known_names(columns: Sequence[str]) -> Mapping[str, str]:
    """The names that a table's columns of redshifts have.

    Parameters
    ----------
    columns : sequence of str
        All of its columns, in order; their case does not matter.

    Returns
    -------
    mapping of str to str
        One of `NAMES`: the last that the table has, as a table that was predicted before, in
        another style, carries what it had in front. That of legacy where it is of no style.
    """
    place = {name.upper(): number for number, name in enumerate(columns)}
    styles = [
        names for names in NAMES.values() if all(names[field].upper() in place for field in TELLING)
    ]
    return max(styles, key=lambda names: place[names["mean"].upper()], default=NAMES["legacy"])
