"""Which column of a table is what, by its name, its unit or its UCD."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError, columns_hint
from photoz_ssl.survey.angles import degrees_in, degrees_of
from photoz_ssl.survey.tables.carried import RENAMED
from photoz_ssl.survey.tables.headers import null_in, null_of
from photoz_ssl.survey.units import is_plain_number

__all__ = ["REDSHIFT_NAMES", "REDSHIFT_WARNINGS", "NamedColumns", "columns_named"]

ID_NAMES = (
    *("TARGETID", "CATAID"),  # of DESI and GAMA, whose OBJID is another thing
    *("OBJID", "OBJ_ID", "OBJECTID", "OBJECT_ID", "ID", "SOURCE_ID", "BESTOBJID", "SPECOBJID"),
)
POSITION_NAMES = (
    *(("RA", "DEC"), ("RA", "DECL"), ("RAJ2000", "DEJ2000"), ("RAJ2000", "DECJ2000")),
    *(("_RAJ2000", "_DEJ2000"), ("RA_ICRS", "DE_ICRS"), ("RADEG", "DEDEG")),
    *(("ALPHA_J2000", "DELTA_J2000"), ("RA_J2000", "DEC_J2000")),
    *(("RIGHT_ASCENSION", "DECLINATION"), ("COORD_RA", "COORD_DEC"), ("RAMEAN", "DECMEAN")),
    *(("TARGET_RA", "TARGET_DEC"), ("PLUG_RA", "PLUG_DEC")),
)
"""Of right ascension and declination; the first pair that is whole is taken."""

REDSHIFT_NAMES = ("Z_SPEC", "SPECZ_REDSHIFT", "ZSPEC", "SPECZ", "SPEC_Z", "REDSHIFT", "Z")
CARRIED_REDSHIFT = f"Z{RENAMED}"
"""What a table that `predict` wrote calls its input's ``Z``, beside a ``z`` of its own."""

ESTIMATED_BESIDE = ("ZMEDIAN", "PHOTOERRORCLASS", "NNCOUNT")
"""Columns of redshift tables in SDSS's style, ours and CasJobs', whose ``z`` is an estimate."""

NEAR_BANDS, FAR_BANDS = ("G", "R"), ("I", "J", "H", "K", "KS")
"""Magnitudes: beside one of the former, or two of the latter, a ``Z`` is one as well."""

REDSHIFT_WARNINGS = ("ZWARN", "ZWARNING")
"""Of DESI and SDSS: beside them ``Z`` is a redshift, whatever else is there; 0 is a sure one."""

REDSHIFT_ERROR_NAMES = ("Z_SPEC_ERR", "SPECZ_REDSHIFT_ERR", "ZSPEC_ERR", "SPECZ_ERR", "Z_ERR")
Z_ERROR = "ZERR"
"""What SDSS and DESI call the error of ``Z``; beside another redshift it may be anything's."""

SPLIT_NAMES = ("SPLIT",)


def columns_named(dtype: np.dtype[Any], candidates: Iterable[str]) -> Iterator[str]:
    """The columns with these names, in the order of the names; case does not matter."""
    by_name = {name.upper(): name for name in reversed(dtype.names or ())}
    found = (by_name.get(candidate.upper()) for candidate in candidates)
    return (name for name in found if name is not None)


class NamedColumns:
    """What the columns of a table are; a base of `photoz_ssl.survey.catalog.Catalog`."""

    path: str
    dtype: np.dtype[Any]
    cards: dict[str, dict[str, str]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        return self.dtype.names or ()

    def find(
        self,
        candidates: Iterable[str],
        *,
        ucd: str = "",
        is_unit: Callable[[str], bool] = lambda unit: not unit.strip(),
    ) -> str | None:
        """The first column with one of these names, whatever its case, or with this UCD.

        A UCD alone is believed only beside a unit that fits: a program that drops a column,
        and does not know of UCDs, leaves its UCD to the next one.
        """
        for name in columns_named(self.dtype, candidates):
            return name
        for name in self.names if ucd else ():
            words = self._card(name, "TUCD").lower().split(";")
            if words[: ucd.count(";") + 1] == ucd.split(";") and is_unit(self._card(name, "TUNIT")):
                return name
        return None

    def _card(self, name: str, key: str) -> str:
        return self.cards[name].get(key, "").strip()

    def require(self, name: str, purpose: str, option: str = "") -> str:
        """The column that the user named, or could name otherwise with an option.

        Raises
        ------
        CatalogError
            If there is none of that name.
        """
        found = self.find((name,))
        if found is None:
            columns = columns_hint(self.names)
            raise CatalogError(
                f"{self.path} has no column {name} {purpose}",
                f"name it with {option}; {columns}" if option else columns,
            )
        return found

    def is_number(self, name: str) -> bool:
        """Whether a column holds one real number a row."""
        kind = self.dtype[name]
        return kind.kind in "iuf" and kind.shape == ()

    def null(self, name: str) -> int | None:
        """The integer that stands for no value in a column; None where there is none."""
        return null_in(self.dtype[name], null_of(self.cards[name]))

    def id_column(self) -> str | None:
        """The column of ids, found by its name, or by its UCD if it holds whole numbers or text."""
        for name in columns_named(self.dtype, ID_NAMES):
            if not self.dtype[name].shape:
                return name
        by_ucd = self.find((), ucd="meta.id;meta.main")
        return by_ucd if by_ucd and self.dtype[by_ucd].kind in "iuS" else None

    def position_columns(self) -> tuple[str | None, str | None]:
        """The columns of right ascension and declination, numbers or text; both or neither.

        They are of one system where one is whole; else each is the first that is there.
        """
        pairs = [tuple(self.find((name,)) for name in pair) for pair in POSITION_NAMES]
        each = (
            self.find(names, ucd=ucd, is_unit=lambda unit: bool(unit and degrees_in(unit)))
            for names, ucd in (
                ([ra for ra, _ in POSITION_NAMES], "pos.eq.ra"),
                ([dec for _, dec in POSITION_NAMES], "pos.eq.dec"),
            )
        )
        for ra, dec in (*pairs, tuple(each)):
            if ra is not None and dec is not None and self._is_angle(ra) and self._is_angle(dec):
                return ra, dec
        return None, None

    def _is_angle(self, name: str) -> bool:
        """Whether a column may hold an angle a row: a number, or one written as text."""
        return self.is_number(name) or (
            self.dtype[name].kind == "S" and self.dtype[name].shape == ()
        )

    def redshift_columns(self) -> tuple[str | None, str | None]:
        """The columns of spectroscopic redshift and its error.

        A column ``Z`` beside those of other bands is a magnitude, not a redshift; one with a unit
        is none either; and one that was predicted is none to learn from.
        """
        named = (
            name for name in columns_named(self.dtype, REDSHIFT_NAMES) if self._has_no_unit(name)
        )
        redshift = next(named, None) or self.find((), ucd="src.redshift")
        if redshift is not None and redshift.upper() == "Z":
            if self._is_estimated(redshift):
                redshift = self.find((CARRIED_REDSHIFT,))
            if self._has_bands():
                redshift = None
        if redshift is None or not self.is_number(redshift):
            return None, None
        of_z = (Z_ERROR,) if redshift.upper() == "Z" else ()
        error = self.find((*REDSHIFT_ERROR_NAMES, *of_z))
        return redshift, error if error and self.is_number(error) else None

    def error_of(self, redshift: str) -> str | None:
        """The column of errors that is named after one of redshifts."""
        error = self.find((f"{redshift}_ERR", f"{redshift}ERR"))
        return error if error and self.is_number(error) else None

    def _has_no_unit(self, name: str) -> bool:
        return is_plain_number(self._card(name, "TUNIT"))

    def _has_bands(self) -> bool:
        """Whether ``Z`` is one of the magnitudes that the table has."""
        near, far = ([*columns_named(self.dtype, names)] for names in (NEAR_BANDS, FAR_BANDS))
        return (bool(near) or len(far) > 1) and self.find(REDSHIFT_WARNINGS) is None

    def _is_estimated(self, name: str) -> bool:
        """Whether a column of redshifts holds photometric ones, by its UCD or its neighbours."""
        ucd = self._card(name, "TUCD").lower()
        return ucd.startswith("src.redshift.phot") or self.find(ESTIMATED_BESIDE) is not None

    def split_column(self) -> str | None:
        """The column that says train, valid or test."""
        name = self.find(SPLIT_NAMES)
        return name if name is not None and self.dtype[name].kind == "S" else None

    def degrees(self, rows: NDArray[np.void], name: str) -> NDArray[np.float64]:
        """A column of angles, shape (n,), in degrees whatever its unit.

        Of text such as ``10:00:00`` those of right ascension are hours, unless the column says
        that they are degrees.

        Raises
        ------
        CatalogError
            If the unit of a column of numbers is no angle.
        """
        unit = self._card(name, "TUNIT")
        factor = degrees_in(unit)
        if self.dtype[name].kind == "S":
            hours = name == self.position_columns()[0] and (not unit or factor != 1.0)
            return degrees_of(rows[name], hours=hours, factor=factor or 1.0)
        if factor is None and not is_plain_number(unit):
            raise CatalogError(
                f"the column {name} of {self.path} is in {unit!r}, which is no angle",
                "its TUNIT should be deg, rad or h",
            )
        return np.asarray(rows[name], dtype=np.float64) * (factor or 1.0)
