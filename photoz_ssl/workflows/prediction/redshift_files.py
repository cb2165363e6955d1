"""The finished redshift table, out of the parts in which it was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from photoz_ssl.files import scratch_folder
from photoz_ssl.fingerprints import spelled
from photoz_ssl.survey.exchange.formats import TableLayout, exchange_file
from photoz_ssl.survey.tables.ensembles import spool_pdfs
from photoz_ssl.survey.tables.headers import Card
from photoz_ssl.survey.tables.manifest import Manifest
from photoz_ssl.survey.tables.part_file import Block, Part
from photoz_ssl.survey.tables.table_stream import TableStream
from photoz_ssl.survey.tables.writer import STDOUT, Rows, write_tables
from photoz_ssl.workflows.jobs.block_job import ComputedBlock
from photoz_ssl.workflows.jobs.tally import Tally
from photoz_ssl.workflows.prediction.redshift_table import DUST_CARD

__all__ = ["stream_redshifts", "write_redshifts"]

MOST_ROWS_HELD = 10_000
"""Rows that wait for the first redshift before a table without any goes down the pipe."""


def write_redshifts(
    parts: Sequence[Part], output: str, catalog: str, *, kind: str = "fits", overwrite: bool = False
) -> Tally:
    """Write the table of all parts, in their order; the same rows give the same bytes.

    Parameters
    ----------
    parts : sequence of Part
        Complete parts of one job, which follow each other.
    output : str
        The table; ``-`` is standard output.
    catalog : str
        What the table is of, for an error.
    kind : str
        Its format; see `photoz_ssl.survey.exchange.formats.format_of`.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Tally
        Of all rows.

    Raises
    ------
    PhotozError
        If it cannot be written, or not one row has a redshift.
    """
    if kind != "fits":
        return _exchanged(parts, Path(output), catalog, kind, overwrite)
    tally, manifest = Tally(), parts[0].manifest
    with ExitStack() as stack:
        file = stack.enter_context(write_tables(output, overwrite=overwrite))
        folder = None if output == STDOUT else Path(output).parent
        form = manifest.pdf_form
        pdfs = stack.enter_context(spool_pdfs(form, folder)) if form else None
        table = file.table(manifest.extname, manifest.columns, manifest.dtype, manifest.cards)
        for block in _blocks(parts):
            table.append(block.rows)
            if pdfs is not None and block.pdfs is not None:
                pdfs.append(block.pdfs)
            tally.add_noted(block.facts)
        tally.require_a_redshift(catalog)
        table.write_card(DUST_CARD, tally.dust, "where E(B-V) is from")
        if pdfs is not None:
            pdfs.write(file)
    return tally


def _exchanged(
    parts: Sequence[Part], path: Path, catalog: str, kind: str, overwrite: bool
) -> Tally:
    """Write a table in another format; where the reddening is from has to be known first."""
    tally, manifest = Tally(), parts[0].manifest
    for block in _blocks(parts):
        tally.add_noted(block.facts)
    tally.require_a_redshift(catalog)
    layout = TableLayout(
        name=manifest.extname,
        n_rows=manifest.n_rows,
        columns=manifest.columns,
        dtype=manifest.dtype,
        cards=_with_dust(manifest, tally.dust),
        pdf_form=manifest.pdf_form,
    )
    with exchange_file(path, kind, layout, overwrite=overwrite) as writer:
        for block in _blocks(parts):
            writer.append(block.rows, block.pdfs)
    return tally


def _blocks(parts: Sequence[Part]) -> Iterator[Block]:
    return (block for part in parts for block in part.blocks())


def stream_redshifts(
    manifest: Manifest, blocks: Iterable[ComputedBlock], catalog: str, count: Callable[[int], None]
) -> Tally:
    """Send the table of a job to standard output, each block when it is there.

    Parameters
    ----------
    manifest : Manifest
        Of all rows.
    blocks : iterable of ComputedBlock
        All rows, in order.
    catalog : str
        What the table is of, for an error.
    count : callable
        Told how many rows are done.

    Returns
    -------
    Tally
        Of all rows.

    Raises
    ------
    PhotozError
        If not one row has a redshift; nothing has been sent then, unless there are many.
    """
    tally, held, sent = Tally(), list[ComputedBlock](), None
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder())
        stream, form = TableStream(folder), manifest.pdf_form
        pdfs = stack.enter_context(spool_pdfs(form, folder)) if form else None
        for block in blocks:
            held.append(block)
            tally.add(block.facts)
            if tally.n_redshifts == 0 and tally.n_rows < min(MOST_ROWS_HELD, manifest.n_rows):
                continue
            if sent is None:
                if tally.n_rows == manifest.n_rows:
                    tally.require_a_redshift(catalog)
                sent = _begun_stream(stream, manifest, tally.dust)
            for ready in held:
                sent.append(ready.rows)
                if pdfs is not None and ready.pdfs is not None:
                    pdfs.append(ready.pdfs)
            held.clear()
            count(tally.n_rows)
        tally.require_a_redshift(catalog)
        if sent is None:  # there is no row
            _begun_stream(stream, manifest, tally.dust)
        if pdfs is not None:
            pdfs.write(stream)
    return tally


def _begun_stream(stream: TableStream, manifest: Manifest, dust: str) -> Rows:
    """The table's header; it goes out before all rows have told where their reddening is from."""
    cards = _with_dust(manifest, dust)
    return stream.table(
        manifest.extname, manifest.columns, manifest.dtype, cards, n_rows=manifest.n_rows
    )


def _with_dust(manifest: Manifest, dust: str) -> list[Card]:
    """A manifest's cards, in letters that every format has, with where the reddening is from."""
    told = [
        (keyword, dust if keyword == DUST_CARD else value, comment)
        for keyword, value, comment in manifest.cards
    ]
    return [
        (keyword, spelled(value) if isinstance(value, str) else value, comment)
        for keyword, value, comment in told
    ]
