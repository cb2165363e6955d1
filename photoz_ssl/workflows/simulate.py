"""Render a realistic SDSS-like survey."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl import __version__
from photoz_ssl.config import SimulateConfig
from photoz_ssl.errors import OutputError
from photoz_ssl.files import LONGEST_STEM, output_errors
from photoz_ssl.folders import remove_own, require_own
from photoz_ssl.progress import Progress, silent
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import is_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.simulation.galaxies import MAGNITUDE_COLUMNS, simulate_blocks
from photoz_ssl.survey.simulation.output import write_survey
from photoz_ssl.workflows.counting import counted

__all__ = ["SimulateReport", "simulate"]

OWN_CUTOUTS = re.compile(r"\d+/\d+\.fits")
OWN_SURVEY = re.compile(rf"catalog\.fits|cutouts/{OWN_CUTOUTS.pattern}")
"""The files of a simulated survey's folder of cutouts, and of all of it: they are replaced."""


@dataclass(frozen=True)
class SimulateReport:
    """What was simulated.

    Parameters
    ----------
    output : Path
        The catalogue or the archive.
    n_galaxies : int
        Galaxies in it.
    seconds : float
        It took.
    """

    output: Path
    n_galaxies: int
    seconds: float

    def summary(self) -> str:
        """One line for a person."""
        rate = self.n_galaxies / max(self.seconds, 1e-3)
        return (
            f"photoz-ssl: {counted(self.n_galaxies, 'galaxy')} simulated → {self.output};"
            f" {rate:.0f} galaxies/s"
        )


def simulate(config: SimulateConfig, *, progress: Progress = silent) -> SimulateReport:
    """Simulate a survey into a folder of FITS files or an archive (method section 6).

    Parameters
    ----------
    config : SimulateConfig
        How many galaxies, which seed, where to.
    progress : callable
        Told after every block of galaxies.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If the output exists or cannot be written.
    photoz_ssl.errors.MissingExtraError
        If GalSim or kcorrect is not installed.
    """
    start = time.monotonic()

    def blocks() -> Iterator[GalaxyBlock]:
        done = 0
        progress("simulating galaxies", done, config.n_galaxies)
        for block in simulate_blocks(
            config.seed, config.n_galaxies, config.size, workers=config.workers
        ):
            yield block
            done += len(block)
            progress("simulating galaxies", done, config.n_galaxies)

    if is_archive(config.output):
        spec = ImageSpec(size=config.size)
        with create_archive(
            config.output, spec, config.n_galaxies, overwrite=config.overwrite
        ) as archive:
            for block in blocks():
                archive.write(block, columns=MAGNITUDE_COLUMNS)
        output = config.output
    else:
        cards = (
            ("PROGRAM", f"photoz-ssl {__version__}", "software"),
            ("SEED", config.seed, "of the simulation"),
            ("NGALAXY", config.n_galaxies, "simulated galaxies"),
        )
        with _new_folder(config.output, overwrite=config.overwrite) as folder:
            write_survey(folder, blocks(), compress=config.compress, cards=cards)
        output = config.output / "catalog.fits"
    return SimulateReport(output, config.n_galaxies, time.monotonic() - start)


@contextmanager
def _new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Fill a folder under a temporary name; it appears when it is complete."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file", "name a folder, or an archive ending in .h5")
    if path.exists() and any(path.iterdir()):
        if not overwrite:
            raise OutputError(f"the folder {path} is not empty", "add --overwrite to replace it")
        if not ((path / "catalog.fits").is_file() and (path / "cutouts").is_dir()):
            raise OutputError(
                f"the folder {path} does not hold a simulated survey", "name another --output"
            )
        require_own(path / "cutouts", OWN_CUTOUTS, "a simulated survey")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"the folder {path.absolute().parent} does not exist", "create it first")
    place = path.resolve()
    temporary = place.with_name(f".{place.name[:LONGEST_STEM]}.{secrets.token_hex(4)}.part")
    try:
        with output_errors(path):
            temporary.mkdir()
            yield temporary
            if not path.exists():
                temporary.replace(place)
                return
            remove_own(path, OWN_SURVEY)  # other files, such as redshifts of it, are kept
            for made in temporary.iterdir():
                made.replace(path / made.name)
    except OutputError as error:
        named = error.message.replace(str(temporary), str(path))
        raise OutputError(named, error.hint) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
