"""A trained model as the workflows use it: raw stamps in, PDFs or representations out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.datasets.augment import dihedral_view, prediction_view
from photoz_ssl.errors import CheckpointError
from photoz_ssl.fields import AUTO
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.later import Later, of_later
from photoz_ssl.networks.checkpoint import Checkpoint, shipped_model_path
from photoz_ssl.networks.engines.openvino_engine import has_openvino
from photoz_ssl.networks.engines.openvino_runner import computes_in_bfloat16
from photoz_ssl.networks.published import read_model
from photoz_ssl.networks.runtimes import (
    IMAGES_WORTH_CONVERTING,
    Runtime,
    choose_device,
    open_runtime,
)
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec

__all__ = ["Predictor"]

log = logging.getLogger(__name__)

BATCH_SIZES = {"cpu": 256, "cuda": 1024}
"""Galaxies a batch on a kind of device: enough to fill it, and the same wherever that kind is."""

MANY_TIMES = 20
"""More than are worth converting: so many galaxies are worth a word on fewer digits, too."""


@dataclass(frozen=True)
class Predictor:
    """A model file, loaded; see `load`.

    Parameters
    ----------
    path : Path
        The model file.
    checkpoint : Checkpoint
        What is in it.
    runtime : Runtime
        Its network on a device.
    sha256 : str
        Of the file.
    batch_size : int
        Most galaxies that the network is given at a time.
    precision : {'auto', 'fp32', 'bf16', 'int8'}
        The arithmetic that was asked for.
    n_views : {1, 8}
        Views of a galaxy over which its PDF is averaged: one, or all quarter turns and their
        mirror images.
    """

    path: Path
    checkpoint: Checkpoint
    runtime: Runtime
    sha256: str
    batch_size: int
    precision: str = "auto"
    n_views: int = 1

    @classmethod
    def load(
        cls,
        path: Path | None,
        device: str = "auto",
        *,
        kind: str = "photoz",
        batch_size: int = AUTO,
        n_galaxies: int | None = 0,
        precision: str = "auto",
        n_views: int = 1,
    ) -> Predictor:
        """Load a model file, or the one of a kind that ships.

        Parameters
        ----------
        path : Path, optional
            Model file, ours or a published ``.pth.tar``; None for the one that ships.
        device : {'auto', 'cpu', 'cuda'}
            Where to run it.
        kind : {'photoz', 'encoder'}
            Which of those that ship: for redshifts, or for representations.
        batch_size : int
            Most galaxies that the network is given at a time; `AUTO` goes by the device.
        n_galaxies : int, optional
            How many there are to be, None if nobody knows: with many a slower start pays.
        precision : {'auto', 'fp32', 'bf16', 'int8'}
            Arithmetic of the network; see `photoz_ssl.networks.runtimes.open_runtime`.
        n_views : {1, 8}
            Views of a galaxy over which its PDF is averaged.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged or neither ours nor a published one.
        """
        chosen = shipped_model_path(kind) if path is None else path
        if path is None and not chosen.exists():
            raise CheckpointError(
                "this installation has no model of its own", "name one with --model"
            )
        checkpoint = read_model(chosen)
        sha256 = sha256_of(chosen)
        size = batch_size or BATCH_SIZES[choose_device(device).type]
        runtime = open_runtime(checkpoint, device, sha256, n_galaxies, precision, size)
        log.info("%s runs the network on %s", runtime.name, runtime.device)
        return cls(chosen, checkpoint, runtime, sha256, size, precision, n_views)

    @property
    def name(self) -> str:
        """The model's own name, or its file's."""
        return str(self.checkpoint.provenance.get("name") or self.path.name)

    @property
    def spec(self) -> ImageSpec:
        """The images that the model was made for."""
        return self.checkpoint.spec

    @property
    def grid(self) -> RedshiftGrid:
        """The bins of its PDFs.

        Raises
        ------
        CheckpointError
            If the model is an encoder without a redshift head.
        """
        if self.checkpoint.grid is None:
            raise CheckpointError(
                f"{self.path} is an encoder without a redshift head",
                "fine-tune it first with photoz-ssl finetune",
            )
        return self.checkpoint.grid

    @property
    def device_name(self) -> str:
        """``cpu`` or ``cuda``, and what runs the network there."""
        return f"{self.runtime.device.type} by {self.runtime.name}"

    @property
    def hardware(self) -> str:
        """Name of the GPU, or the vector instructions of the CPU: what rounds alike."""
        device = self.runtime.device
        if device.type == "cuda":
            return str(torch.cuda.get_device_name(device))
        return f"a CPU with {torch.backends.cpu.get_cpu_capability()}"

    def notices(self, n_galaxies: int) -> tuple[str, ...]:
        """What would make so many galaxies go faster, one sentence each."""
        worth_it = IMAGES_WORTH_CONVERTING[self.checkpoint.encoder.architecture]
        if n_galaxies < worth_it or self.runtime.device.type != "cpu":
            return ()
        if not has_openvino():
            return ("pip install 'photoz-ssl[cpu]' would make the network faster on this CPU",)
        many = n_galaxies >= MANY_TIMES * worth_it
        if many and self.precision == "auto" and computes_in_bfloat16():
            return ("--precision bf16 would make the network faster on this CPU",)
        return ()

    def warm_up(self, *, representing: bool = False) -> None:
        """Convert or compile the network now, while no other thread is at work.

        Libraries that do so hide their warnings, which Python does for all threads at once.

        Parameters
        ----------
        representing : bool
            Whether for representations; else for PDFs.
        """
        side, run = self.spec.network_size, self.represent if representing else self.pdf
        run(np.zeros((1, len(self.spec.bands), side, side), np.float32), np.zeros(1))

    def pdf(self, images: NDArray[np.float32], ebv: NDArray[np.floating]) -> NDArray[np.float64]:
        """Redshift PDFs, shape (n, n_bins), one a galaxy; see `pdf_later`."""
        return self.pdf_later(images, ebv)()

    def pdf_later(
        self, images: NDArray[np.float32], ebv: NDArray[np.floating]
    ) -> Later[NDArray[np.float64]]:
        """Begin with redshift PDFs, one a galaxy.

        Parameters
        ----------
        images : ndarray, shape (n, bands, S, S), S >= 64
            Nanomaggies, dereddened only if `spec` says so.
        ebv : ndarray, shape (n,)
            E(B-V) of SFD, magnitudes.

        Returns
        -------
        callable
            Waits for the probabilities of the bins, shape (n, n_bins); each row sums to 1.
        """
        n_bins = self.grid.n_bins
        if not len(images):
            return lambda: np.empty((0, n_bins))
        if self.n_views == 1:
            return self.runtime.pdf_later(self._views(images, ebv))
        of_views = [
            self.runtime.pdf_later(self._turned(images, ebv, n)) for n in range(self.n_views)
        ]
        return lambda: np.asarray(sum(pdf() for pdf in of_views) / self.n_views)

    def represent(
        self, images: NDArray[np.float32], ebv: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Representations of unit length, shape (n, feature_size); see `represent_later`."""
        return self.represent_later(images, ebv)()

    def represent_later(
        self, images: NDArray[np.float32], ebv: NDArray[np.floating]
    ) -> Later[NDArray[np.float32]]:
        """Begin with representations; arguments as for `pdf_later`.

        They are the encoder's, joined with the light profiles if the model has a space of them.
        """
        if not len(images):
            return lambda: np.empty((0, self.feature_size), np.float32)
        made, profile = (
            self.runtime.represent_later(self._views(images, ebv)),
            self.checkpoint.profile,
        )
        if profile is None:
            return made
        reddening = self.spec.reddening(ebv)
        return of_later(lambda vectors: profile.joined(vectors, images, reddening), made)

    @property
    def feature_size(self) -> int:
        """Length of a representation."""
        profile = self.checkpoint.profile
        return self.runtime.feature_size + (profile.n_axes if profile is not None else 0)

    def _views(self, images: NDArray[np.float32], ebv: NDArray[np.floating]) -> Iterator[Tensor]:
        """Prediction views, a batch at a time; each is made when the network can take it."""
        size = min(self.batch_size, self.runtime.images_a_batch or self.batch_size)
        for start in range(0, len(images), size):
            batch = slice(start, start + size)
            stamps = torch.from_numpy(np.ascontiguousarray(images[batch], np.float32))
            reddening = torch.from_numpy(self.spec.reddening(ebv[batch]))
            yield prediction_view(stamps, reddening)

    def _turned(
        self, images: NDArray[np.float32], ebv: NDArray[np.floating], number: int
    ) -> Iterator[Tensor]:
        """The same in one of the 8 positions of `dihedral_view`."""
        return (dihedral_view(view, number) for view in self._views(images, ebv))
