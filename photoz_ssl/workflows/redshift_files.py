"""The finished redshift table, out of the parts in which it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from photoz_ssl.survey.ensembles import spool_pdfs
from photoz_ssl.survey.part_file import Part
from photoz_ssl.survey.tables import STDOUT, write_tables
from photoz_ssl.workflows.redshift_table import DUST_CARD
from photoz_ssl.workflows.redshift_tally import Tally

__all__ = ["write_redshifts"]


def write_redshifts(parts: Sequence[Part], output: str, catalog: str, *, overwrite: bool) -> Tally:
    """Write the table of all parts, in their order; the same rows give the same bytes.

    Parameters
    ----------
    parts : sequence of Part
        Complete parts of one job, which follow each other.
    output : str
        The table; ``-`` is standard output.
    catalog : str
        What the table is of, for an error.
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
    tally, manifest = Tally(), parts[0].manifest
    with ExitStack() as stack:
        file = stack.enter_context(write_tables(output, overwrite=overwrite))
        folder = None if output == STDOUT else Path(output).parent
        edges = np.array(manifest.edges)
        pdfs = stack.enter_context(spool_pdfs(edges, folder)) if manifest.edges else None
        table = file.table(manifest.extname, manifest.columns, manifest.dtype, manifest.cards)
        for block in (block for part in parts for block in part.blocks()):
            table.append(block.rows)
            if pdfs is not None and block.pdfs is not None:
                pdfs.append(block.pdfs["pdf"], block.pdfs["mode"], block.pdfs["flags"])
            tally.add(block.facts)
        tally.require_a_redshift(catalog)
        table.write_card(DUST_CARD, tally.dust, "where E(B-V) is from")
        if pdfs is not None:
            pdfs.write(file)
    return tally
