"""Galaxies a second of ``photoz-ssl predict``, from FITS cutouts to the finished table.

Prints one JSON object. The baseline is the plain way, in the same run and by turns with ours: each
cutout opened with astropy, PyTorch in float32 on 16 at a time, a table written by astropy. Ours
includes all that the command does once its network has been converted, which it keeps for the
next time. The cutouts hold noise: to a network all images cost the same. Then, without a network,
cutouts a second from every kind of image source, and what share of that time merely reading the
files' bytes takes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import NDArray

from _machine import machine
from _options import at_least, positive, run_benchmark
from photoz_ssl.config import PredictConfig, PrepareConfig
from photoz_ssl.networks.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    shipped_model_path,
)
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines.openvino_runner import computes_in_bfloat16
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import choose_device
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import NETWORK_SIZE, ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import BANDS, R_SF11
from photoz_ssl.survey.sources import open_source
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.prepare import prepare
from photoz_ssl.workflows.trained.quantisation import calibrated

SIDE = 107
FRAME_SHAPE = (1489, 2048)
BASELINE_BATCH = 16

SIZES = {
    "cpu": {
        "resnet50": {"plain": 192, "fp32": 600, "bf16": 2400, "int8": 2400},
        "shipped": {"plain": 2000, "fp32": 8000, "bf16": 8000, "int8": 8000},
    },
    "cuda": {
        "resnet50": {"plain": 2000, "bf16": 8000},
        "shipped": {"plain": 2000, "bf16": 8000},
    },
}
"""Galaxies for the baseline and each precision of ours: seconds of work at least.

A CPU that does not compute in bfloat16 is not asked to.
"""


@dataclass(frozen=True)
class Survey:
    """A catalogue and its cutouts.

    Parameters
    ----------
    folder : Path
        With ``catalog.fits`` and the cutouts, one cube a galaxy.
    """

    folder: Path

    @property
    def catalog(self) -> Path:
        """The catalogue."""
        return self.folder / "catalog.fits"

    def first(self, n_galaxies: int) -> Path:
        """A catalogue of the first of them."""
        path = self.folder / f"first-{n_galaxies}.fits"
        if not path.exists():
            Table.read(self.catalog)[:n_galaxies].write(path)
        return path


def noise(n_galaxies: int) -> NDArray[np.float32]:
    """Images, shape (n, bands, side, side), with a galaxy in the middle, nanomaggies."""
    shape = (n_galaxies, len(BANDS), SIDE, SIDE)
    images = np.random.default_rng(0).normal(0, 0.03, shape).astype(np.float32)
    images[:, :, SIDE // 2 - 2 : SIDE // 2 + 3, SIDE // 2 - 2 : SIDE // 2 + 3] += 1.0
    return images


def write_survey(folder: Path, n_galaxies: int, with_wcs: bool = False) -> Survey:
    """One FITS cube a galaxy, and the catalogue that names them."""
    folder.mkdir()
    ra, dec = np.linspace(150, 151, n_galaxies), 2.0
    for number, image in enumerate(noise(n_galaxies)):
        header = fits.Header({"BUNIT": "nanomaggy", "BANDS": "".join(BANDS)})
        if with_wcs:
            header.update(wcs_at(ra[number], dec, SIDE // 2 + 1, SIDE // 2 + 1).to_header())
        fits.writeto(folder / f"{number}.fits", image, header)
    columns = {
        "OBJID": np.arange(n_galaxies),
        "RA": ra,
        "DEC": np.full(n_galaxies, dec),
        "EBV": np.full(n_galaxies, 0.03, np.float32),
        "CUTOUT": [f"{number}.fits" for number in range(n_galaxies)],
    }
    Table(columns).write(folder / "catalog.fits")
    return Survey(folder)


def wcs_at(ra: float, dec: float, x: int, y: int) -> WCS:
    """The WCS of an image of SDSS's pixels with a position, degrees, at a pixel, from 1."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra, dec], [x, y]
    wcs.wcs.cdelt = [-0.396 / 3600, 0.396 / 3600]
    return wcs


def plainly(survey: Survey, model: Path, device: str, n_galaxies: int, output: Path) -> float:
    """The plain way; galaxies a second."""
    start = time.perf_counter()
    checkpoint = load_checkpoint(model)
    network, rows = checkpoint.network().to(device), Table.read(survey.first(n_galaxies))
    assert checkpoint.grid is not None
    first = (SIDE - NETWORK_SIZE) // 2
    means = []
    for place in range(0, len(rows), BASELINE_BATCH):
        stamps = []
        for row in rows[place : place + BASELINE_BATCH]:
            with fits.open(survey.folder / row["CUTOUT"]) as file:
                image = file[0].data[:, first : first + NETWORK_SIZE, first : first + NETWORK_SIZE]
            factor = 10 ** (0.4 * R_SF11 * row["EBV"])
            stamps.append(image * factor[:, None, None])
        with torch.no_grad():
            images = torch.from_numpy(np.stack(stamps).astype(np.float32)).to(device)
            pdf = torch.softmax(network(images), dim=1).cpu().numpy()
        means.append(pdf @ checkpoint.grid.centres)
    rows["Z_PHOT_MEAN"] = np.concatenate(means)
    rows.write(output, overwrite=True)
    return n_galaxies / (time.perf_counter() - start)


def by_command(
    survey: Survey, model: Path, device: str, precision: str, n_galaxies: int, output: Path
) -> float:
    """What the command does; galaxies a second."""
    start = time.perf_counter()
    config = PredictConfig(
        catalog=str(survey.first(n_galaxies)),
        model=model,
        precision=precision,
        device=device,
        output=str(output),
        overwrite=True,
    )
    predict(config)
    return n_galaxies / (time.perf_counter() - start)


def write_resnet50(path: Path, archive: Path | None) -> None:
    """The paper's network, with random weights, and in 8-bit integers if there is an archive."""
    grid = RedshiftGrid()
    network = RedshiftNetwork(build_encoder(PRESETS["resnet50"], seed=0), grid.n_bins, seed=0)
    checkpoint = Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=PRESETS["resnet50"],
        state=network.state_dict(),
        grid=grid,
    )
    if archive is not None:
        checkpoint, _ = calibrated(checkpoint, open_archive(archive))
    save_checkpoint(path, checkpoint)


def rates_of(
    folder: Path, model: Path, device: str, sizes: dict[str, int], n_rounds: int
) -> dict[str, float]:
    """Medians of galaxies a second, baseline and ours by turns.

    Parameters
    ----------
    folder : Path
        For scratch.
    model : Path
        The model.
    device : {'cpu', 'cuda'}
        Where its network runs.
    sizes : dict
        Galaxies for the baseline, "plain", and for each precision of ours.
    n_rounds : int
        Turns.
    """
    survey, output = write_survey(folder / model.stem, max(sizes.values())), folder / "z.fits"
    precisions = [name for name in sizes if name != "plain"]
    survey.first(sizes["plain"])
    for name in precisions:  # converted now, and kept
        by_command(survey, model, device, name, sizes[name], output)
    found: dict[str, list[float]] = {name: [] for name in sizes}
    for _ in range(n_rounds):
        found["plain"].append(plainly(survey, model, device, sizes["plain"], output))
        for name in precisions:
            found[name].append(by_command(survey, model, device, name, sizes[name], output))
    return {name: round(median(rates), 1) for name, rates in found.items()}


def image_sources(folder: Path, n_galaxies: int) -> dict[str, PredictConfig]:
    """The same galaxies in every kind of image source that `predict` knows."""
    survey, images = write_survey(folder / "cubes", n_galaxies), noise(n_galaxies)
    with_wcs = write_survey(folder / "cubes-with-wcs", n_galaxies, with_wcs=True)
    plain = PredictConfig(catalog=str(survey.catalog))
    for name in ("hdus", "bands", "gz"):
        (folder / name).mkdir()
    for number, image in enumerate(images):
        planes = [
            fits.ImageHDU(plane, fits.Header({"BUNIT": "nanomaggy", "BAND": band}), name=band)
            for band, plane in zip(BANDS, image, strict=True)
        ]
        fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(folder / "hdus" / f"{number}.fits")
        for band, plane in zip(BANDS, planes, strict=True):
            single = fits.PrimaryHDU(plane.data, plane.header)
            single.writeto(folder / "bands" / f"{number}-{band}.fits")
        header = fits.Header({"BUNIT": "nanomaggy", "BANDS": "".join(BANDS)})
        fits.writeto(folder / "gz" / f"{number}.fits.gz", image, header)
    table = Table.read(survey.catalog)
    del table["CUTOUT"]
    first = (SIDE - NETWORK_SIZE) // 2
    table["IMAGE"] = images[..., first : first + NETWORK_SIZE, first : first + NETWORK_SIZE]
    table["IMAGE"].unit = "nanomaggy"
    table.write(folder / "column.fits")
    prepare(PrepareConfig(catalog=str(survey.catalog), output=folder / "survey.h5"))
    frames, catalog = write_frames(folder / "frames", n_galaxies)
    return {
        "cube a galaxy": plain,
        "cube a galaxy, with a WCS": PredictConfig(catalog=str(with_wcs.catalog)),
        "HDU a band": replace(plain, cutouts=f"{folder}/hdus/{{OBJID}}.fits"),
        "file a band": replace(plain, cutouts=f"{folder}/bands/{{OBJID}}-{{band}}.fits"),
        "cube.gz a galaxy": replace(plain, cutouts=f"{folder}/gz/{{OBJID}}.fits.gz"),
        "image column": PredictConfig(catalog=str(folder / "column.fits")),
        "archive": PredictConfig(catalog=str(folder / "survey.h5")),
        "frames": PredictConfig(catalog=str(catalog), frames=frames),
    }


def write_frames(folder: Path, n_galaxies: int) -> tuple[Path, Path]:
    """A field in five frames of SDSS's size, compressed, and galaxies all over it."""
    folder.mkdir()
    wcs = wcs_at(150, 2, 1024, 745)
    generator = np.random.default_rng(1)
    for band in BANDS:
        header = wcs.to_header()
        header["BUNIT"] = "nanomaggy"
        image = generator.normal(0, 0.03, FRAME_SHAPE).astype(np.float32)
        fits.writeto(folder / f"frame-{band}-000001-1-0001.fits.gz", image, header)
    x, y = (generator.uniform(80, side - 80, n_galaxies) for side in FRAME_SHAPE[::-1])
    ra, dec = wcs.wcs_pix2world(x, y, 0)
    columns = {
        "OBJID": np.arange(n_galaxies),
        "RA": ra,
        "DEC": dec,
        "EBV": np.full(n_galaxies, 0.03),
    }
    Table(columns).write(folder / "catalog.fits")
    return folder, folder / "catalog.fits"


def reading(config: PredictConfig, n_galaxies: int) -> dict[str, float]:
    """Cutouts a second without a network, from memory; the share that reading bytes alone takes."""
    for path in files_of(config):
        path.read_bytes()  # another measurement may have put them out of the system's memory
    start = time.perf_counter()
    with open_source(config.catalog, config, size=NETWORK_SIZE) as source:
        n_usable = sum(int(block.usable.sum()) for block in source.blocks(256))
    seconds = time.perf_counter() - start
    if n_usable != n_galaxies:
        raise SystemExit(f"only {n_usable} of {n_galaxies} images of {config} are usable")
    start = time.perf_counter()
    for path in files_of(config):
        path.read_bytes()
    bare = time.perf_counter() - start
    return {
        "cutouts_a_second": round(n_galaxies / seconds),
        "fraction_of_reading_bytes": round(bare / seconds, 3),
    }


def files_of(config: PredictConfig) -> list[Path]:
    """The files that a source reads images from."""
    if config.frames is not None:
        return sorted(config.frames.glob("frame-*"))
    if config.cutouts is not None:
        return sorted(Path(config.cutouts).parent.iterdir())
    catalog = Path(config.catalog)
    return sorted(catalog.parent.glob("*.fits")) if catalog.name == "catalog.fits" else [catalog]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=tuple(SIZES))
    parser.add_argument("--rounds", type=at_least(1), default=3)
    parser.add_argument("--share", type=positive, default=1.0, help="of the galaxies, for a glance")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    choose_device(options.device)  # before minutes of preparations
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = image_sources(folder, 300)
        sizes = sizes_on(options.device, options.share)
        resnet50, shipped = folder / "resnet50.safetensors", shipped_model_path("photoz")
        write_resnet50(resnet50, folder / "survey.h5" if "int8" in sizes["resnet50"] else None)
        rates = {
            name: rates_of(folder, model, options.device, sizes[name], options.rounds)
            for name, model in (("resnet50", resnet50), ("shipped", shipped))
        }
        result = {
            "benchmark": "predict",
            "machine": machine(options.device),
            "baseline": "a cutout at a time by astropy, PyTorch in float32, batches of 16",
            "galaxies_a_second": rates,
            "ratios": ratios(rates),
            "reading": {kind: reading(config, 300) for kind, config in sources.items()},
        }
    print(json.dumps(result))


def sizes_on(device: str, share: float) -> dict[str, dict[str, int]]:
    """A share of the sizes for a device; without bfloat16 on a CPU that does not compute in it."""
    left_out = "bf16" if device == "cpu" and not computes_in_bfloat16() else ""
    return {
        network: {
            name: max(1, round(share * size)) for name, size in sizes.items() if name != left_out
        }
        for network, sizes in SIZES[device].items()
    }


def ratios(rates: dict[str, dict[str, float]]) -> dict[str, float]:
    """Ours over the plain way, by network and precision; ``shipped`` alone is in float32."""
    found = {
        f"{network}_{precision}": round(rate / of_network["plain"], 2)
        for network, of_network in rates.items()
        for precision, rate in of_network.items()
        if precision != "plain"
    }
    return {"shipped" if name == "shipped_fp32" else name: ratio for name, ratio in found.items()}


if __name__ == "__main__":
    run_benchmark(main)
