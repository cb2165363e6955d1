"""Gather cutouts and a catalogue into one archive."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from photoz_ssl.config import PrepareConfig
from photoz_ssl.errors import CatalogError, OutputError, no_image
from photoz_ssl.files import claim_output, require_other
from photoz_ssl.progress import Progress, silent
from photoz_ssl.spec import STAMP_SIZE
from photoz_ssl.survey.archive import is_archive
from photoz_ssl.survey.archive_columns import LONGEST_TEXT, OWN_ID, spectrum_id_column
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.blocks import GalaxyBlock, RowProblem
from photoz_ssl.survey.dust import spell_sources
from photoz_ssl.survey.flags import UNUSABLE, RowFlag
from photoz_ssl.survey.named_columns import REDSHIFT_NAMES, REDSHIFT_WARNINGS
from photoz_ssl.survey.sources import GalaxySource, open_source
from photoz_ssl.survey.tables.headers import null_in, null_of
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.searching.identities import has_ids, text_id_notices
from photoz_ssl.workflows.splits import StrangeSplits, draw_split, object_keys

__all__ = ["PrepareReport", "prepare"]

BLOCK = 256
MOST_PROBLEMS = 200
"""Problems that the report keeps, so that memory does not grow with the catalogue."""

OWN_COLUMNS = ("OBJID", "RA", "DEC", "Z_SPEC", "SPLIT")
"""Columns that an archive's own datasets stand for when it is read."""


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    """What `prepare` did.

    Parameters
    ----------
    output : Path
        The archive.
    n_rows, n_usable, n_labelled : int
        Galaxies in it, those with a usable image, and those of them with a redshift.
    dust : str
        Where E(B-V) is from.
    rate : float
        Galaxies a second.
    n_unreddened : int
        Galaxies whose image could be used if their E(B-V) were known.
    problems : tuple of RowProblem
        The first rows without a usable image.
    notices : tuple of str
        What a user should know.
    """

    output: Path
    n_rows: int
    n_usable: int
    n_labelled: int
    dust: str
    rate: float
    n_unreddened: int = 0
    problems: tuple[RowProblem, ...] = ()
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        imageless = self.n_rows - self.n_usable - self.n_unreddened
        flagged = f", {imageless} without a usable image" if imageless else ""
        flagged += f", {self.n_unreddened} without E(B-V)" if self.n_unreddened else ""
        galaxies = counted(self.n_rows, "galaxy")
        return (
            f"photoz-ssl: {galaxies}{flagged}, {self.n_labelled} with a redshift"
            f" → {self.output}; {self.dust}, {self.rate:.0f} galaxies/s"
        )


def prepare(config: PrepareConfig, *, progress: Progress = silent) -> PrepareReport:
    """Write the archive of a catalogue: every row, in order, in bounded memory.

    A row without a usable image is kept with zeros and a flag; training passes it over.

    Raises
    ------
    PhotozError
        If the output exists or is not named ``*.h5``, the input cannot be read, not one row
        has a usable image, or, with ``strict``, one row has none. Nothing is written then.
    """
    if not is_archive(config.output):
        raise OutputError(
            f"the archive {config.output} is not named *.h5, by which it is known later",
            "name it so",
        )
    claim_output(config.output, overwrite=config.overwrite)
    require_other(config.output, config.catalog)
    with open_source(
        config.catalog,
        config,
        size=config.size,
        workers=config.workers,
        redshift_column=config.redshift_column,
        split_column=config.split_column,
        strict=config.strict,
        mgs_cut=config.mgs_cut,
    ) as source:
        return _write(config, source, progress)


@dataclass
class _Counts:
    """Galaxies of the blocks so far."""

    strange: StrangeSplits
    n_rows: int = 0
    n_usable: int = 0
    n_labelled: int = 0
    n_unreddened: int = 0
    n_warned: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def add(self, block: GalaxyBlock) -> None:
        self.n_rows += len(block)
        self.n_usable += int(np.count_nonzero(block.usable))
        self.n_labelled += int(np.count_nonzero(block.usable & np.isfinite(block.redshift)))
        lacking = block.flags & int(UNUSABLE)
        self.n_unreddened += int(np.count_nonzero(lacking == int(RowFlag.NO_REDDENING)))
        self.n_warned += _n_warned(block)
        self.problems.extend(block.problems[: MOST_PROBLEMS - len(self.problems)])
        self.strange.add(block)

    def require_an_image(self, catalog: str) -> None:
        """Refuse an archive of which nothing can be used."""
        if self.n_unreddened == self.n_rows:
            raise CatalogError(
                f"of no row of {catalog} an E(B-V) is known", "add EBV, or positions in degrees"
            )
        if self.n_usable == 0:
            first = self.problems[0].message if self.problems else "every row is flagged"
            raise no_image(catalog, first)


def _write(config: PrepareConfig, source: GalaxySource, progress: Progress) -> PrepareReport:
    start = time.perf_counter()
    columns, text_id = _numeric_columns(source), _text_id(source)
    columns += (text_id,) if text_id else ()
    kinds, cards = source.table_dtype, source.column_cards
    nulls = {name: null_in(kinds[name], null_of(cards[name])) for name in columns}
    counts = _Counts(StrangeSplits(config.split_column or "SPLIT"))
    with create_archive(
        config.output,
        source.spec,
        source.n_rows,
        overwrite=config.overwrite,
        id_column=OWN_ID if has_ids(source) else text_id,
        nulls={name: null for name, null in nulls.items() if null is not None},
    ) as archive:
        for block in source.blocks(BLOCK):
            archive.write(_with_split(block, source.id_column, config), columns=columns)
            counts.add(block)
            progress("preparing galaxies", counts.n_rows, source.n_rows)
        counts.require_an_image(config.catalog)
    return PrepareReport(
        output=config.output,
        n_rows=counts.n_rows,
        n_usable=counts.n_usable,
        n_labelled=counts.n_labelled,
        dust=spell_sources(source.dust),
        rate=counts.n_rows / max(time.perf_counter() - start, 1e-9),
        n_unreddened=counts.n_unreddened,
        problems=tuple(counts.problems),
        notices=(
            *source.notices,
            *_idle_notices(config, source.spec.size),
            *text_id_notices(source, "the archive's galaxies"),
            *_warning_notices(counts.n_warned, kinds),
            *(() if counts.n_labelled else _unread_notices(config, kinds)),
            *(counts.strange.notices if config.split is None else ()),
        ),
    )


def _idle_notices(config: PrepareConfig, size: int) -> tuple[str, ...]:
    """That options had no effect on an archive, or on stamps that keep their size."""
    idle = []
    if config.size not in (size, STAMP_SIZE):
        idle.append("--size")
    if is_archive(config.catalog):
        idle += ["--redshift-column"] if config.redshift_column else []
        idle += ["--split-column"] if config.split_column else []
    name = Path(config.catalog).name
    what = f"{name} keeps its {size}-pixel stamps and its redshifts and splits"
    return (f"{what}: {' and '.join(idle)} had no effect",) if idle else ()


def _n_warned(block: GalaxyBlock) -> int:
    """How many of a block's redshifts their survey warns of."""
    warned = np.zeros(len(block), bool)
    for name in _warning_columns(block.table.dtype):
        warned |= block.table[name] != 0
    return int(np.count_nonzero(warned & block.usable & np.isfinite(block.redshift)))


def _warning_columns(table: np.dtype[Any]) -> list[str]:
    """The columns of integers by which a survey warns of its redshifts."""
    names = [name for name in table.names or () if name.upper() in REDSHIFT_WARNINGS]
    return [name for name in names if table[name].kind in "iu" and not table[name].shape]


def _warning_notices(n_warned: int, table: np.dtype[Any]) -> tuple[str, ...]:
    """That redshifts of which their survey warns are taken as well, and how to leave them out."""
    if not n_warned:
        return ()
    names = _warning_columns(table)
    sure = " && ".join(f"{name} == 0" for name in names)
    return (
        f"{counted(n_warned, 'redshift')} taken of which {' or '.join(names)} warns; brackets leave"
        f" such rows out, as in 'NAME.fits[1][{sure}]'",
    )


def _unread_notices(config: PrepareConfig, table: np.dtype[Any]) -> tuple[str, ...]:
    """Why columns that nobody has named may not have been taken for redshifts."""
    if config.redshift_column is not None or is_archive(config.catalog):
        return ()
    texts = (name for name in table.names or () if name.upper() in REDSHIFT_NAMES)
    return tuple(
        f"no row has a redshift; the column {name} is text: write its redshifts as numbers"
        for name in texts
        if table[name].kind == "S"
    ) + tuple(
        f"no row has a redshift; beside other magnitudes the column {name} counts as one, unless"
        f" --redshift-column {name} says otherwise"
        for name in table.names or ()
        if name.upper() == "Z" and table[name].kind == "f"
    )


def _text_id(source: GalaxySource) -> str | None:
    """The column of ids, where they are text that an archive keeps."""
    name = source.id_column
    if name is None or "/" in name:
        return None
    kind = source.table_dtype[name]
    return name if kind.kind == "S" and kind.itemsize <= LONGEST_TEXT else None


def _numeric_columns(source: GalaxySource) -> tuple[str, ...]:
    """The columns of one number a row, but for those that the archive has anyway."""
    own = {*OWN_COLUMNS, source.id_column, source.ra_column, source.dec_column}
    own.add(spectrum_id_column(source.table_dtype))
    return tuple(
        name
        for name in source.table_dtype.names or ()
        if name not in own
        and "/" not in name
        and source.table_dtype[name].kind in "iuf"
        and not source.table_dtype[name].shape
    )


def _with_split(block: GalaxyBlock, id_column: str | None, config: PrepareConfig) -> GalaxyBlock:
    if config.split is None:
        return block
    return replace(
        block, split=draw_split(object_keys(block, id_column), config.split, config.seed)
    )
