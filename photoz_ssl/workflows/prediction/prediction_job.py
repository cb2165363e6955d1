"""The work of `predict` between its input and its part files: galaxies to rows of the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import OutputError
from photoz_ssl.extras import require_extra
from photoz_ssl.fields import options_of_job
from photoz_ssl.fingerprints import fingerprint_of_input
from photoz_ssl.later import Later, of_later
from photoz_ssl.redshift.estimates import quantiles, summarise
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.exchange.formats import format_of
from photoz_ssl.survey.flags import HIGH_EBV, RowFlag
from photoz_ssl.survey.sources import open_source
from photoz_ssl.survey.tables.manifest import Manifest, PdfRows, pdf_rows
from photoz_ssl.survey.tables.pdf_form import HISTOGRAM, QUANTILES, PdfForm
from photoz_ssl.workflows.jobs.block_job import ComputedBlock, Opener
from photoz_ssl.workflows.jobs.tally import facts_of
from photoz_ssl.workflows.prediction.evidence import (
    EVIDENCE_COLUMNS,
    Evidence,
    atlas_of_evidence,
    open_evidence,
)
from photoz_ssl.workflows.prediction.redshift_table import (
    EXTNAME,
    Layout,
    lay_out,
    model_cards,
    table_cards,
)

if TYPE_CHECKING:
    from photoz_ssl.workflows.trained.inference import Predictor

__all__ = ["PredictionJob", "job_on", "load_predictor", "open_job", "require_extras"]

MOST_COLUMNS = 999
"""Of a FITS table: cards have three digits for them."""


@dataclass(frozen=True)
class PredictionJob:
    """An open catalogue and the model for it; see `open_job`.

    Parameters
    ----------
    config : PredictConfig
        What to do.
    source : GalaxySource
        The galaxies.
    predictor : Predictor
        The model.
    layout : Layout
        The table's columns.
    fingerprint : str
        Of the catalogue's file.
    evidence : Evidence, optional
        The atlas whose galaxies with redshifts stand beside each row.
    """

    config: PredictConfig
    source: GalaxySource
    predictor: Predictor
    layout: Layout
    fingerprint: str
    evidence: Evidence | None = None

    @property
    def opener(self) -> Opener:
        """`open_job`."""
        return open_job

    @property
    def stage(self) -> str:
        """What is done, for the progress."""
        return "predicting galaxies"

    @property
    def block_size(self) -> int:
        """Rows a block; that of a network's batch."""
        return self.predictor.batch_size

    @property
    def pdf_form(self) -> PdfForm | None:
        """What PDFs go into the output as; None where they do not."""
        is_qp = format_of(self.config.output or "", self.config.format) == "qp"
        form = "hist" if self.config.pdf == "none" and is_qp else self.config.pdf
        if form == "none":
            return None
        if form == "hist":
            return PdfForm(HISTOGRAM, tuple(self.predictor.grid.edges.tolist()))
        count = int(form.partition(":")[2])
        middles = (np.arange(count) + 0.5) / count
        return PdfForm(QUANTILES, (0.0, *middles.tolist(), 1.0))

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know before the first row is read, and of the source if none is."""
        told = () if self.source.n_rows else self.source.notices
        return (*self.layout.notices, *(self.evidence.notices if self.evidence else ()), *told)

    @property
    def trained_on(self) -> str:
        """What the model was trained on."""
        provenance = self.predictor.checkpoint.provenance
        return str(provenance.get("trained_on", "data its file does not name"))

    def manifest(self, start: int, stop: int, command_line: str) -> Manifest:
        """What a part file says of rows ``start`` to ``stop``."""
        grid, catalog = self.predictor.grid, PurePath(self.config.catalog).name
        cards = [
            *model_cards(self.predictor.name, self.predictor.sha256, self.trained_on),
            *(self.evidence.cards() if self.evidence else ()),
            *table_cards(
                grid, catalog=catalog, command_line=command_line, style=self.config.columns
            ),
        ]
        return Manifest(
            job=self.identity(),
            n_rows=self.source.n_rows,
            start=start,
            stop=stop,
            extname=EXTNAME,
            columns=self.layout.columns,
            dtype=self.layout.dtype,
            cards=tuple(cards),
            pdf_form=self.pdf_form,
        )

    def identity(self) -> dict[str, str | int]:
        """All that the table's numbers depend on, named for a person."""
        return {
            "catalogue": PurePath(self.config.catalog).name,
            "content of the catalogue": self.fingerprint,
            "model": self.predictor.sha256,
            "engine": self.predictor.device_name,
            "--batch-size": self.block_size,
            "version of photoz-ssl": __version__,
            "atlas of neighbours": self.evidence.fingerprint if self.evidence else "",
            **options_of_job(self.config),
        }

    def begun(self, block: GalaxyBlock) -> Later[ComputedBlock]:
        """Begin with a block's rows of the table; what is returned waits for them."""
        chosen = slice(None) if block.usable.all() else block.usable  # a slice copies nothing
        pdf = self.predictor.pdf_later(block.images[chosen], block.ebv[chosen])
        return of_later(lambda found: self._rows(block, chosen, found), pdf)

    def _rows(
        self,
        block: GalaxyBlock,
        chosen: slice | NDArray[np.bool_],
        pdf_of_chosen: NDArray[np.float64],
    ) -> ComputedBlock:
        """A block's rows, with the PDFs of those galaxies that can have one."""
        grid, usable = self.predictor.grid, block.usable
        pdf = np.full((len(block), grid.n_bins), np.nan)
        pdf[chosen] = pdf_of_chosen
        estimates = summarise(pdf, grid)
        found = np.isfinite(estimates.mean)
        at_edge = np.isin(grid.bin_of(estimates.mode), (0, grid.n_bins - 1))
        flags = block.flags.astype(np.int32)
        flags[at_edge] |= int(RowFlag.AT_GRID_EDGE)
        flags[usable & ~found] |= int(RowFlag.NOT_FINITE)
        flags[block.ebv > HIGH_EBV] |= int(RowFlag.HIGH_REDDENING)
        further: dict[str, NDArray[Any]] = {}
        if self.evidence is not None:
            further, unlike = self.evidence.beside(block)
            flags[unlike] |= int(RowFlag.UNLIKE_ATLAS)
        n_found = int(np.count_nonzero(found))
        facts = facts_of(block, self.source, flags, n_found, self.predictor.hardware)
        rows = self.layout.rows(block, estimates, flags, further)
        return ComputedBlock(rows, self._kept(pdf, estimates.mode, flags), facts)

    def _kept(
        self, pdf: NDArray[np.float64], mode: NDArray[np.float64], flags: NDArray[np.int32]
    ) -> PdfRows | None:
        """PDFs, shape (n, n_bins), in the form in which they go into the output."""
        form, grid = self.pdf_form, self.predictor.grid
        if form is None:
            return None
        if form.name == HISTOGRAM:
            return pdf_rows(pdf / np.diff(grid.edges), mode, flags)
        return pdf_rows(quantiles(pdf, form.points, grid).T, mode, flags)


def require_extras(config: PredictConfig) -> None:
    """Refuse options whose packages are not installed, before any work is done for them.

    Raises
    ------
    MissingExtraError
        That names the extra.
    """
    if config.dask is not None:
        require_extra("distributed", extra="dask", purpose="--dask")
    if config.samp:
        require_extra("pyvo", extra="samp", purpose="sending by SAMP")


@contextmanager
def open_job(config: PredictConfig) -> Iterator[PredictionJob]:
    """Open a catalogue or archive and the model that is to be used on it.

    Raises
    ------
    PhotozError
        If one of them cannot be read, they do not fit together, or the table would have more
        columns than its format allows.
    """
    with open_source(
        config.catalog,
        config,
        size=NETWORK_SIZE,
        workers=config.workers,
        streaming=True,
        may_be_empty=True,
    ) as source:
        predictor = load_predictor(config, source.n_rows)
        job = job_on(source, config, predictor, fingerprint_of_input(config.catalog))
        _require_storable(job)
        yield job


def _require_storable(job: PredictionJob) -> None:
    """Refuse a table of more columns than its format allows, before it is computed."""
    n_columns, config = len(job.layout.columns), job.config
    if n_columns > MOST_COLUMNS and format_of(config.output or "", config.format) == "fits":
        raise OutputError(
            f"the table would have {n_columns} columns, and FITS allows {MOST_COLUMNS}",
            "leave some out with --keep-columns, or choose --format parquet",
        )


def job_on(
    source: GalaxySource, config: PredictConfig, predictor: Predictor, fingerprint: str = ""
) -> PredictionJob:
    """The job of predicting the galaxies of a source.

    Raises
    ------
    PhotozError
        If the source and the model, or the atlas of neighbours, do not fit together.
    """
    source.spec.require_usable_by(
        predictor.spec, here=config.catalog, there=f"the model {predictor.name}"
    )
    layout = lay_out(
        source.table_dtype,
        source.column_cards,
        keep=config.keep_columns,
        id_column=source.id_column,
        ra_column=source.ra_column,
        dec_column=source.dec_column,
        style=config.columns,
        further=EVIDENCE_COLUMNS if config.neighbours else (),
    )
    evidence = None
    if config.neighbours is not None:
        atlas = atlas_of_evidence(config.neighbours)
        evidence = open_evidence(atlas, source, predictor, config)
    return PredictionJob(config, source, predictor, layout, fingerprint, evidence)


def load_predictor(config: PredictConfig, n_rows: int | None) -> Predictor:
    """Load the model; torch takes seconds to import, so not before the input is known."""
    from photoz_ssl.workflows.trained.inference import Predictor

    predictor = Predictor.load(
        config.model,
        config.device,
        batch_size=config.batch_size,
        n_galaxies=n_rows,
        precision=config.precision,
        n_views=config.views,
    )
    predictor.warm_up()
    return predictor
