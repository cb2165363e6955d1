"""Pretraining views a second: our batched views against a loader that works image by image.

Prints one JSON object. Both make the same view of the same 107-pixel stamps: deredden, redden,
rotate, mirror, shift, crop to 64 pixels, add noise.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from photoz_ssl.datasets.augment import pretraining_view
from photoz_ssl.survey.bands import R_SF11

SIZE, CROP, MAX_SHIFT = 107, 64, 7
MAD = np.array([0.03, 0.012, 0.02, 0.034, 0.12], np.float32)


def one_view(
    image: NDArray[np.float32], ebv: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """The usual way: scipy on one image, shape (5, 107, 107)."""
    dust = 10 ** (-0.4 * R_SF11 * (generator.uniform(0, 0.5) - ebv))
    image = image * dust[:, None, None].astype(np.float32)
    angle = generator.uniform(0, 360)
    image = ndimage.rotate(image, angle, axes=(1, 2), reshape=False, order=1)
    if generator.random() < 0.5:
        image = image[:, :, ::-1]
    y, x = SIZE // 2 - CROP // 2 + generator.integers(-MAX_SHIFT, MAX_SHIFT + 1, 2)
    image = image[:, y : y + CROP, x : x + CROP]
    sigma = generator.uniform(1, 3) * MAD[:, None, None]
    return np.asarray(image + sigma * generator.standard_normal(image.shape), np.float32)


def rate(work: Callable[[], int], seconds: float) -> float:
    """Images a second over at least some seconds, after one call to warm up."""
    work()
    start, done = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        done += work()
    return done / spent


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    stamps = random.normal(size=(256, 5, SIZE, SIZE)).astype(np.float32)
    images, ebv = torch.from_numpy(stamps).to(options.device), torch.full((256,), 0.05)
    ebv, mad = ebv.to(options.device), torch.from_numpy(MAD).to(options.device)
    generator = torch.Generator(options.device).manual_seed(0)

    def batched() -> int:
        view = pretraining_view(
            images, ebv, mad, generator, max_reddening=0.5, max_shift=7, noise_range=(1.0, 3.0)
        )
        float(view.sum())
        return len(view)

    def image_by_image() -> int:
        for stamp in stamps[:32]:
            one_view(stamp, 0.05, random)
        return 32

    ours, usual = rate(batched, options.seconds), rate(image_by_image, options.seconds)
    print(
        json.dumps(
            {
                "benchmark": "views",
                "machine": {
                    "processor": platform.processor() or platform.machine(),
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "device": options.device,
                },
                "baseline": "scipy.ndimage.rotate, one image at a time, one process",
                "images_a_second": {"batched": round(ours), "baseline": round(usual)},
                "ratio": round(ours / usual, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
