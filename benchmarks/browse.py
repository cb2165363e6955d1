"""The page of ``photoz-ssl browse`` at a million galaxies: its server, and its map in Chromium.

Prints one JSON object. The vectors are a random walk on the sphere, so that neighbours on the
map are neighbours indeed; every galaxy has a black picture. The server is the command itself in
a process of its own; latencies are medians as a client of it sees them, memory is what the
kernel counts for it, memory-mapped pages of the atlas (which it can take back) apart. The map
is drawn on a canvas without a GPU. The baseline are the same positions as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _machine import machine
from _options import at_least, run_benchmark
from photoz_ssl.neighbours.atlas import Atlas, AtlasHeader, read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.neighbours.index_builder import build_index, plan_index
from photoz_ssl.neighbours.map import build_map
from photoz_ssl.spec import ImageSpec

ROWS_AT_ONCE = 1 << 14
STEP = 0.15
REQUESTS = 20
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")

IN_THE_PAGE = """async () => {
    const { map, cloud } = browse;
    const median = (of) => of.sort((a, b) => a - b)[of.length >> 1];
    const frames = async (change) => {
        const spent = [];
        for (let i = 0; i < 20; i++) {
            change(i);
            map.redraw();
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            spent.push(map.milliseconds);
        }
        return median(spent);
    };
    const timed = (run) => {
        const spent = [];
        for (let i = 0; i < 20; i++) {
            const start = performance.now();
            run(i);
            spent.push(performance.now() - start);
        }
        return median(spent);
    };
    map.showAll();
    const whole = await frames((i) => { map.view.x += (i % 2 ? 1 : -1) * 5 / map.view.scale; });
    const filtered = timed(() => cloud.choose([{ values: cloud.y, low: 0, high: null }], null));
    const half = await frames((i) => { map.view.x += (i % 2 ? 1 : -1) * 5 / map.view.scale; });
    cloud.choose([], null);
    const hover = timed((i) => cloud.nearest(map.view.x, map.view.y, (14 + i) / map.view.scale));
    map.zoom(30);
    const zoomed = await frames((i) => { map.view.x += (i % 2 ? 1 : -1) * 5 / map.view.scale; });
    return { draw_all: whole, filter_by_a_column: filtered, draw_half: half,
        draw_zoomed: zoomed, hover };
}"""


def walk(n: int, n_features: int, start: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Unit vectors of a random walk, shape (n, n_features), that goes on from ``start``."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, STEP / np.sqrt(n_features), (n, n_features))
    vectors = np.empty_like(steps)
    place = start
    for i, step in enumerate(steps):
        place = place + step
        place /= np.sqrt(place @ place)
        vectors[i] = place
    return vectors


def write_atlas(path: Path, n_galaxies: int, n_features: int) -> Atlas:
    """An atlas of a random walk, with black pictures and a magnitude."""
    header = AtlasHeader(
        spec=ImageSpec(), model="none", model_sha256="0" * 64, catalog="none", has_ids=True
    )
    generator = np.random.default_rng(1)
    place = np.eye(n_features)[0]
    with create_atlas(path, header, n_galaxies) as writer:
        for start in range(0, n_galaxies, ROWS_AT_ONCE):
            n = min(ROWS_AT_ONCE, n_galaxies - start)
            vectors = walk(n, n_features, place, start)
            place = vectors[-1]
            writer.append(
                object_id=np.arange(start, start + n),
                ra=generator.uniform(0, 360, n),
                dec=generator.uniform(-90, 90, n),
                redshift=generator.uniform(0, 0.4, n).astype(np.float32),
                representations=vectors.astype(np.float32),
                table=generator.uniform(14, 18, n).astype("f4").view([("R_MAG", "f4")]),
                thumbnails=np.zeros((n, 64, 64, 3), np.uint8),
            )
    return read_atlas(path)


def start_server(atlas: Path) -> tuple[subprocess.Popen[str], str, float]:
    """The command, its address, and the seconds until it prints that."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "photoz_ssl", "browse", str(atlas), "--no-open"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in server.stderr or ():
        if found := re.search(r"http://\S+/", line):
            return server, found[0], time.perf_counter() - start
    raise RuntimeError("the server did not start")


def memory(process: subprocess.Popen[str]) -> dict[str, int]:
    """Megabytes of a process: its own, and of files that it has mapped."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return {}
    kilobytes = dict(re.findall(r"(\w+):\s+(\d+) kB", status.read_text(encoding="utf-8")))
    names = {"own": "RssAnon", "mapped_files": "RssFile", "most_in_all": "VmHWM"}
    return {name: int(kilobytes[key]) // 1024 for name, key in names.items()}


def milliseconds(ask: Callable[[int], Any], requests: int = REQUESTS) -> float:
    """Median of some requests."""
    spent = []
    for i in range(requests):
        start = time.perf_counter()
        ask(i)
        spent.append(time.perf_counter() - start)
    return round(1000 * statistics.median(spent), 2)


def latencies(url: str, n_galaxies: int) -> dict[str, float]:
    """Milliseconds of what the page asks."""
    rows = np.random.default_rng(3).integers(0, n_galaxies, REQUESTS)

    def get(path: str) -> bytes:
        with urllib.request.urlopen(url + path, timeout=600) as answer:  # noqa: S310
            return bytes(answer.read())

    return {
        "page": milliseconds(lambda i: get("")),
        "atlas": milliseconds(lambda i: get("api/atlas")),
        "positions": milliseconds(lambda i: get("api/positions")),
        "column": milliseconds(lambda i: get("api/column?name=R_MAG")),
        "galaxy": milliseconds(lambda i: get(f"api/galaxy/{rows[i]}")),
        "stamp": milliseconds(lambda i: get(f"api/stamp/{rows[i]}")),
        "search_by_id": milliseconds(lambda i: get(f"api/search?q={rows[i]}")),
        "neighbours": milliseconds(lambda i: get(f"api/neighbours?galaxy={rows[i]}")),
        "neighbours_in_a_tenth": milliseconds(
            lambda i: get(f"api/neighbours?galaxy={rows[i]}&where=Z_SPEC:0.1:0.14")
        ),
        "selection_of_a_tenth_as_fits": milliseconds(
            lambda i: get("api/selection.fits?where=Z_SPEC:0.1:0.14"), 3
        ),
    }


def in_chromium(url: str) -> dict[str, float] | None:
    """Milliseconds of the map, where there is a browser to draw it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if path is None:
        return None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("html[data-ready]", timeout=120_000)
        loaded = 1000 * (time.perf_counter() - start)
        found = {"load": loaded, **page.evaluate(IN_THE_PAGE)}
        browser.close()
    return {name: round(value, 2) for name, value in found.items() if value is not None}


def of_json(url: str) -> dict[str, float]:
    """How much larger the positions would be as JSON."""
    with urllib.request.urlopen(f"{url}api/positions", timeout=60) as answer:  # noqa: S310
        content = answer.read()
    positions = np.frombuffer(content, "<f4").reshape(-1, 2)
    text = json.dumps(positions.tolist())
    return {"json_larger_than_positions": round(len(text) / len(content), 1)}


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures, without an index and with one."""
    atlas = write_atlas(folder / "atlas.h5", options.galaxies, options.features)
    seconds: dict[str, float] = {}
    if options.map:
        start = time.perf_counter()
        build_map(atlas)
        seconds["embed_map"] = round(time.perf_counter() - start, 1)
    server, url, seconds["start"] = start_server(atlas.path)
    try:
        before = memory(server)
        asked = latencies(url, options.galaxies)
        drawn = in_chromium(url)
        ratios = of_json(url)
        after = memory(server)
    finally:
        server.terminate()
        server.communicate()
    build_index(atlas, plan_index(atlas))
    server, url, _ = start_server(atlas.path)
    try:
        rows = np.random.default_rng(3).integers(0, options.galaxies, REQUESTS)
        path = f"{url}api/neighbours?galaxy="
        asked["neighbours_by_the_index"] = milliseconds(
            lambda i: urllib.request.urlopen(f"{path}{rows[i]}", timeout=600).read()  # noqa: S310
        )
    finally:
        server.terminate()
        server.communicate()
    return {
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "server_milliseconds": asked,
        "server_megabytes": {"started": before, "asked": after},
        "chromium_milliseconds": drawn,
        "ratios": ratios,
    }


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="not used")
    parser.add_argument("--galaxies", type=at_least(2), default=1_000_000)
    parser.add_argument("--features", type=at_least(2), default=64)
    parser.add_argument("--map", action="store_true", help="also time embed --map")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    result = {
        "benchmark": "browse",
        "machine": machine(),
        "baseline": "the positions as JSON",
        "galaxies": options.galaxies,
        "features": options.features,
        **found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
