"""How well `predict --neighbours` flags images that are no galaxies of the survey.

Prints one JSON object. The first galaxies of an archive make the atlas; the last are spoilt in
each of the ways of `gross_cases`, and compared with themselves unspoilt: the area under the ROC
curve of each column, the share flagged, and by how much the redshift is off, flagged and not.

    python examples/novelty_flag.py survey.h5 --n-atlas 1500 --n-test 500
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, PredictConfig
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.simulation.gross_cases import GROSS_CASES
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.predict import predict

BLOCK = 256
CASES = ("unspoilt", *GROSS_CASES)
ESTIMATES = ("Z_PHOT_MEAN", "NN_Z_MEAN")


def roc_area(spoilt: NDArray[np.floating], unspoilt: NDArray[np.floating]) -> float:
    """Chance that a spoilt image has the larger number, ties counted as a half."""
    ordered = np.sort(unspoilt)
    below = [np.searchsorted(ordered, spoilt, side) for side in ("left", "right")]
    return float(np.mean(below) / len(unspoilt))


def write_part(archive: Archive, first: int, stop: int, path: Path) -> None:
    """An archive of some rows of another."""
    with create_archive(path, archive.spec, stop - first) as writer:
        for block in archive.blocks(BLOCK, first, stop):
            writer.write(block)


def write_cases(archive: Archive, first: int, stop: int, path: Path, seed: int) -> None:
    """An archive of the same galaxies over and over: as they are, then spoilt in each way."""
    generator = np.random.default_rng(seed)
    block = archive.block(slice(first, stop))
    with create_archive(path, archive.spec, len(CASES) * len(block)) as writer:
        for number, case in enumerate(CASES):
            spoil = GROSS_CASES.get(case)
            images = block.images if spoil is None else spoil(block.images, generator)
            start = number * len(block)
            writer.write(dataclasses.replace(block, start=start, images=images))


def middle(errors: NDArray[np.floating]) -> float | None:
    """The median of errors, shape (n,), that are known; None of none, as JSON has no NaN."""
    known = errors[np.isfinite(errors)]
    return float(np.median(known)) if len(known) else None


def measured(rows: NDArray[np.void], redshift: NDArray[np.float32]) -> dict[str, Any]:
    """What the columns of evidence say of each case; ``rows`` has shape (cases, galaxies)."""
    flagged = rows["FLAGS"] & int(RowFlag.UNLIKE_ATLAS) != 0
    cases = {
        case: {
            "flagged": float(flagged[number].mean()),
            **{
                f"roc_area_{name.lower()}": roc_area(rows[name][number], rows[name][0])
                for name in ("NOVELTY", "ODDITY")
            },
        }
        for number, case in enumerate(CASES)
    }
    off = {}
    for name in ESTIMATES:
        error = np.abs(rows[name] - redshift) / (1 + redshift)
        off[name] = {
            "flagged": middle(error[flagged]),
            "not_flagged": middle(error[~flagged]),
            "unspoilt_flagged": middle(error[0][flagged[0]]),
            "unspoilt_not_flagged": middle(error[0][~flagged[0]]),
        }
    return {"cases": cases, "median_abs_dz_over_1_plus_z": off}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--n-atlas", type=int, default=1500)
    parser.add_argument("--n-test", type=int, default=500)
    parser.add_argument("--model", type=Path, help="redshift model; default: the one that ships")
    parser.add_argument("--encoder", type=Path, help="of the atlas; default: the one that ships")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()

    archive = open_archive(options.archive)
    first = len(archive) - options.n_test
    if first < options.n_atlas:
        parser.error(f"{options.archive} has only {len(archive)} galaxies")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_part(archive, 0, options.n_atlas, folder / "atlas-of.h5")
        write_cases(archive, first, len(archive), folder / "cases.h5", options.seed)
        atlas, table = folder / "atlas.h5", folder / "table.fits"
        embed(
            EmbedConfig(
                catalog=str(folder / "atlas-of.h5"),
                output=atlas,
                model=options.encoder,
                thumbnails=False,
                device=options.device,
            )
        )
        predict(
            PredictConfig(
                catalog=str(folder / "cases.h5"),
                output=str(table),
                model=options.model,
                neighbours=atlas,
                device=options.device,
            )
        )
        header = fitsio.read_header(table, ext="PHOTOZ")
        rows = fitsio.read(table, ext="PHOTOZ").reshape(len(CASES), options.n_test)
    result = {
        "model": header["MODEL"],
        "encoder": header["NNMODEL"],
        "n_atlas": options.n_atlas,
        "n_test": options.n_test,
        "seed": options.seed,
        **measured(rows, archive.redshift[first:]),
    }
    print(json.dumps(result, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
