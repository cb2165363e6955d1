"""Redshifts for a catalogue: one row of the table for each row of the input."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import CatalogError, CutoutError
from photoz_ssl.progress import Progress, silent
from photoz_ssl.redshift.estimates import summarise
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.blocks import GalaxyBlock, RowProblem
from photoz_ssl.survey.ensembles import PdfSpool, spool_pdfs
from photoz_ssl.survey.flags import FLAG_MEANINGS, HIGH_EBV, UNUSABLE, RowFlag
from photoz_ssl.survey.sources import GalaxySource, open_source
from photoz_ssl.survey.tables import STDOUT, TableFile, TableWriter, claim_table, write_tables
from photoz_ssl.workflows.redshift_table import (
    DUST_CARD,
    EXTNAME,
    Layout,
    lay_out,
    model_cards,
    table_cards,
)

if TYPE_CHECKING:
    from photoz_ssl.workflows.inference import Predictor

__all__ = ["PredictReport", "default_output", "predict"]

PACKED_SUFFIXES = (".gz", ".bz2", ".z", ".fz")


@dataclass(frozen=True, kw_only=True)
class PredictReport:
    """What `predict` did.

    Parameters
    ----------
    output : str
        The table; ``-`` is standard output.
    n_rows, n_redshifts, n_flagged : int
        Rows in all, those with a redshift, and those with any flag but that of the coarse
        dust map.
    model, trained_on : str
        Name of the model, and what it was trained on.
    dust : str
        Where E(B-V) is from.
    device : str
        Where the network ran.
    rate : float
        Galaxies a second, images read and table written.
    notices : tuple of str
        What a user should know, one sentence each.
    """

    output: str
    n_rows: int
    n_redshifts: int
    n_flagged: int
    model: str
    trained_on: str
    dust: str
    device: str
    rate: float
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what was written, with which model and dust map, and how fast."""
        failed = self.n_rows - self.n_redshifts
        counted = f"{self.n_redshifts} redshifts"
        counted += f" of {self.n_rows} rows" if failed else ""
        target = "standard output" if self.output == STDOUT else self.output
        return (
            f"photoz-ssl: {counted} ({self.n_flagged} flagged) → {target};"
            f" model {self.model} (trained on {self.trained_on}),"
            f" {self.dust}, {self.rate:.0f} galaxies/s on {self.device}"
        )


def predict(
    config: PredictConfig, *, progress: Progress = silent, command_line: str = ""
) -> PredictReport:
    """Write the redshift table of a catalogue or archive.

    Every input row has its row in the table, in order; where the image cannot be used the
    redshifts are NaN and the flags say why. Memory does not grow with the catalogue.

    Parameters
    ----------
    config : PredictConfig
        What to do.
    progress : Progress
        Told of the galaxies done.
    command_line : str
        Recorded in the table's header.

    Raises
    ------
    PhotozError
        If the output exists, the input or the model cannot be read, they do not fit
        together, or not one row has a usable image. Nothing is written then.
    """
    output = config.output or default_output(config.catalog)
    claim_table(output, overwrite=config.overwrite)
    with open_source(config.catalog, config, size=NETWORK_SIZE, workers=config.workers) as source:
        layout = _layout(source, config)
        predictor = _load_predictor(config, source.n_rows)
        source.spec.require_usable_by(
            predictor.spec, here=config.catalog, there=f"the model {predictor.name}"
        )
        start = time.perf_counter()
        tally = _write(source, predictor, layout, config, output, command_line, progress)
        seconds = time.perf_counter() - start
        return PredictReport(
            output=output,
            n_rows=tally.n_rows,
            n_redshifts=tally.n_redshifts,
            n_flagged=tally.n_flagged,
            model=predictor.name,
            trained_on=_trained_on(predictor),
            dust=source.dust,
            device=predictor.device_name,
            rate=tally.n_rows / max(seconds, 1e-9),
            notices=(
                *source.notices,
                *layout.notices,
                *tally.notices(),
                *predictor.notices(tally.n_rows),
            ),
        )


def default_output(catalog: str) -> str:
    """Where the table of a catalogue goes: ``NAME.photoz.fits`` beside it.

    CFITSIO's brackets, and the suffixes of compression and format, are left off the name; a
    catalogue from standard input or from the network gives standard output or a file here.

    >>> default_output("survey/cat.fits.gz[1][R < 17.8]")
    'survey/cat.photoz.fits'
    """
    if catalog == STDOUT:
        return STDOUT
    path = PurePath(catalog.partition("[")[0])
    if "://" in catalog:
        path = PurePath(path.name)
    if path.suffix.lower() in PACKED_SUFFIXES:
        path = path.with_suffix("")
    return str(path.with_name(f"{path.stem or 'catalog'}.photoz.fits"))


@dataclass
class _Tally:
    """Counts of rows, and the first problem of each kind."""

    n_rows: int = 0
    n_redshifts: int = 0
    n_flagged: int = 0
    by_flag: Counter[RowFlag] = field(default_factory=Counter)
    first: dict[RowFlag, RowProblem] = field(default_factory=dict)

    def count(self, block: GalaxyBlock, flags: NDArray[np.int32], found: int) -> None:
        self.n_rows += len(block)
        self.n_redshifts += found
        self.n_flagged += int(np.count_nonzero(flags & ~int(RowFlag.COARSE_DUST_MAP)))
        for flag in RowFlag:
            self.by_flag[flag] += int(np.count_nonzero(flags & int(flag)))
        for problem in block.problems:
            self.first.setdefault(problem.flag, problem)

    def notices(self) -> tuple[str, ...]:
        """One sentence for each kind of problem that left rows without a redshift."""
        return tuple(
            f"{self.by_flag[flag]} of {self.n_rows} rows have no redshift:"
            f" {FLAG_MEANINGS[flag]}{self._example(flag)}"
            for flag in RowFlag
            if flag & UNUSABLE and self.by_flag[flag]
        )

    def _example(self, flag: RowFlag) -> str:
        problem = self.first.get(flag)
        return f" (first: row {problem.row + 1}, {problem.message})" if problem else ""

    def require_a_redshift(self, catalog: str) -> None:
        """Refuse a table without a single redshift.

        Raises
        ------
        CatalogError, CutoutError
            That names the first problem.
        """
        if self.n_rows == 0:
            raise CatalogError(f"{catalog} has no rows", "check its selection")
        if self.n_redshifts:
            return
        problem = min(self.first.values(), key=lambda problem: problem.row, default=None)
        reason = problem.message if problem else "; ".join(self.notices())
        raise CutoutError(
            f"no row of {catalog} has a usable image; the first problem: {reason}",
            "say where the images are with --cutouts or --frames, or mend them",
        )


def _layout(source: GalaxySource, config: PredictConfig) -> Layout:
    return lay_out(
        source.table_dtype,
        source.column_cards,
        keep=config.keep_columns,
        id_column=source.id_column,
        ra_column=source.ra_column,
        dec_column=source.dec_column,
        style=config.columns,
    )


def _load_predictor(config: PredictConfig, n_rows: int | None) -> Predictor:
    """Load the model; torch takes seconds to import, so not before the input is known."""
    from photoz_ssl.workflows.inference import Predictor

    return Predictor.load(
        config.model, config.device, batch_size=config.batch_size, n_galaxies=n_rows
    )


def _trained_on(predictor: Predictor) -> str:
    return str(predictor.checkpoint.provenance.get("trained_on", "data its file does not name"))


def _write(
    source: GalaxySource,
    predictor: Predictor,
    layout: Layout,
    config: PredictConfig,
    output: str,
    command_line: str,
    progress: Progress,
) -> _Tally:
    """Predict block by block; the table appears only if this ends well."""
    cards = [
        *model_cards(predictor.name, predictor.sha256, _trained_on(predictor)),
        *table_cards(
            predictor.grid,
            catalog=PurePath(config.catalog).name,
            command_line=command_line,
            style=config.columns,
        ),
    ]
    tally = _Tally()
    with ExitStack() as stack:
        file: TableFile = stack.enter_context(write_tables(output, overwrite=config.overwrite))
        folder = None if output == STDOUT else Path(output).parent
        pdfs = stack.enter_context(spool_pdfs(predictor.grid.edges, folder)) if config.pdf else None
        table = file.table(EXTNAME, layout.columns, layout.dtype, cards)
        for block in source.blocks(config.batch_size):
            _predict_block(block, predictor, layout, table, pdfs, tally)
            progress("predicting galaxies", tally.n_rows, source.n_rows)
        tally.require_a_redshift(config.catalog)
        table.write_card(DUST_CARD, source.dust, "where E(B-V) is from")
        if pdfs is not None:
            pdfs.write(file)
    return tally


def _predict_block(
    block: GalaxyBlock,
    predictor: Predictor,
    layout: Layout,
    table: TableWriter,
    pdfs: PdfSpool | None,
    tally: _Tally,
) -> None:
    grid = predictor.grid
    usable = block.usable
    pdf = np.full((len(block), grid.n_bins), np.nan)
    if usable.any():
        pdf[usable] = predictor.pdf(block.images[usable], block.ebv[usable])
    estimates = summarise(pdf, grid)
    found = np.isfinite(estimates.mean)
    at_edge = np.isin(grid.bin_of(estimates.mode), (0, grid.n_bins - 1))
    flags = block.flags.astype(np.int32)
    flags[at_edge] |= int(RowFlag.AT_GRID_EDGE)
    flags[usable & ~found] |= int(RowFlag.NOT_FINITE)
    flags[block.ebv > HIGH_EBV] |= int(RowFlag.HIGH_REDDENING)
    table.append(layout.rows(block, estimates, flags))
    if pdfs is not None:
        pdfs.append(pdf, estimates.mode, flags)
    tally.count(block, flags, int(np.count_nonzero(found)))
