"""A page that is being served."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fitsio
import h5py
import numpy as np
import pytest

from photoz_ssl.config import EmbedConfig
from photoz_ssl.neighbours.atlas import COLUMNS_GROUP
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.embed import embed
from tests.processes import COMMAND_LINE, Fork


@pytest.fixture(scope="session")
def browsed(
    model: Path, tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browsed]:
    """A running ``photoz-ssl browse`` with the atlas of 24 toy galaxies."""
    for package in ("starlette", "uvicorn", "sklearn"):
        pytest.importorskip(package, reason="the page is served by the extra [browse]")
    folder = tmp_path_factory.mktemp("browse")
    atlas = folder / "toy <atlas>.h5"
    embed(EmbedConfig(catalog=str(tiny_archive), output=atlas, model=model, map=True))
    image = folder / "my <b>galaxy.fits"
    cards = {"BUNIT": "nanomaggy", "EBV": 0.1}
    fitsio.write(str(image), np.array(open_archive(tiny_archive).images[6]), header=cards)
    lock = folder / "samp.lock"
    process, url, told = start_browse(lock, atlas, "--model", model)
    yield Browsed(url, atlas, image, told, lock)
    process.send_signal(signal.SIGINT)
    assert process.ended()[0] == 0


@pytest.fixture(scope="session")
def odd(browsed: Browsed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browsed]:
    """The same page of a stranger atlas.

    The galaxy in row 3 had no usable image, those in rows 8 and 9 have one id, and a column is
    the same number throughout, so large that adding 0.5 does not change it.
    """
    atlas = tmp_path_factory.mktemp("odd") / "odd_1.h5"
    for suffix in (".h5", ".map.h5"):
        shutil.copy(browsed.atlas.with_suffix(suffix), atlas.with_suffix(suffix))
    with h5py.File(atlas, "r+") as file:
        file["representations"][3] = np.nan
        file["thumbnails"][3] = 0
        file["ObjID"][9] = file["ObjID"][8]
        file[f"{COLUMNS_GROUP}/HUGE"] = np.full(len(file["ObjID"]), 2.0**60)
    process, url, told = start_browse(browsed.samp_lock, atlas)
    yield Browsed(url, atlas, browsed.image, told, browsed.samp_lock)
    process.send_signal(signal.SIGINT)
    process.ended()


@dataclass(frozen=True)
class Browsed:
    """Where a page is, of which atlas, an image to drop, what was said; and a hub's lock file."""

    url: str
    atlas: Path
    image: Path
    told: str
    samp_lock: Path


def start_browse(samp_lock: Path, *arguments: object) -> tuple[Fork, str, str]:
    """Start the command; gives its process, its address and what it said until then."""
    environ = {"SAMP_HUB": f"std-lockurl:{samp_lock.as_uri()}"}
    process = Fork(COMMAND_LINE, "browse", *arguments, "--no-open", environ=environ)
    while process.runs:
        told = process.told
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+/\n", told):
            return process, found[0].strip(), told
        time.sleep(0.02)
    raise AssertionError(process.told)
