"""Give ``photoz-ssl predict`` damaged and lying FITS files, and see that it stays calm.

Each of N files is a catalogue with images, or a cutout of one, that has been changed: bits
flipped, cut short, or a header card made to lie (NAXIS, TFORM, TDIM, PCOUNT, BITPIX, a WCS that is
not finite, ...). What is allowed is exit 0 with flags, or exit 1 with one sentence and a hint; no
traceback, hang, crash of the interpreter, or more than 1 GB of memory beyond that of a sound file.
Prints one JSON object; exits with 1 if anything else happens.

    python examples/hostile_files.py --files 240 --model tiny.safetensors
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np
from astropy.io import fits

N_GALAXIES = 12
SECONDS_FOR_ONE = 60
MOST_MEGABYTES_MORE = 1000
CARD = 80

WORKER = """
import contextlib, io, json, resource, sys, traceback
from photoz_ssl.cli import main
for line in sys.stdin:
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            main(json.loads(line), prog_name="photoz-ssl")
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            code, _ = "exception", traceback.print_exc()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    answer = {"code": code, "stderr": told.getvalue(), "megabytes": megabytes}
    print(json.dumps(answer), file=sys.__stdout__, flush=True)
"""

LIES = {
    "NAXIS": ("0", "1", "3", "999", "-1"),
    "NAXIS1": ("0", "1", "7", "999999999999", "-5"),
    "NAXIS2": ("0", "1", "999999999", "-1", "4611686018427387904"),
    "NAXIS3": ("0", "3", "999999999", "-1"),
    "BITPIX": ("8", "-64", "16", "7", "0"),
    "PCOUNT": ("1", "-1", "99999999999"),
    "GCOUNT": ("0", "-1", "999999"),
    "TFIELDS": ("0", "1", "999", "-1"),
    "TFORM1": ("'1000000000K'", "'Q'", "''", "'PE(9)'", "'0J'", "'1A'"),
    "TFORM2": ("'99999999D'", "'X'", "'L'", "'QD(9)'"),
    "TFORM5": ("'E'", "'4294967296E'", "'20480J'", "'PE'", "'1024A'"),
    "TDIM5": ("'(64,64,999999)'", "'(0,0,0)'", "'(64,64)'", "'(x)'", "'(-64,-64,5)'"),
    "TTYPE2": ("'OBJID'", "''", "'CUTOUT'"),
    "TSCAL2": ("0.0", "1E300", "'x'"),
    "TZERO1": ("1E300", "'x'", "9223372036854775808"),
    "CRVAL1": ("'nan'", "1E400", "-1E300", "'x'"),
    "CD1_1": ("0.0", "'nan'", "1E300"),
    "CRPIX2": ("1E18", "'inf'"),
    "CTYPE1": ("'GLON-ZZZ'", "'RA---TAN-SIP'", "''"),
    "BSCALE": ("0.0", "1E300", "'x'"),
    "BUNIT": ("'counts'", "'furlong'", "5"),
    "EXTEND": ("F", "5"),
    "XTENSION": ("'IMAGE'", "'NONSENSE'", "'TABLE'"),
    "SIMPLE": ("F", "5"),
}


def write_sound_files(folder: Path) -> None:
    """A catalogue with an image column, and one with a cutout a galaxy."""
    generator = np.random.default_rng(0)
    images = generator.normal(0, 0.03, (N_GALAXIES, 5, 64, 64)).astype(np.float32)
    images[:, :, 28:36, 28:36] += 1
    kinds = [
        ("OBJID", "i8"),
        ("RA", "f8"),
        ("DEC", "f8"),
        ("EBV", "f4"),
        ("IMAGE", "f4", (5, 64, 64)),
    ]
    table = np.zeros(N_GALAXIES, np.dtype(kinds))
    table["OBJID"], table["RA"], table["EBV"] = np.arange(N_GALAXIES), 150, 0.03
    table["IMAGE"] = images
    fitsio.write(str(folder / "column.fits"), table)
    named = np.zeros(N_GALAXIES, np.dtype([*kinds[:4], ("CUTOUT", "S16")]))
    for name in ("OBJID", "RA", "EBV"):
        named[name] = table[name]
    named["CUTOUT"] = [f"{number}.fits".encode() for number in range(N_GALAXIES)]
    fitsio.write(str(folder / "files.fits"), named)
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 0.0}
    cards |= {"CRPIX1": 32.5, "CRPIX2": 32.5, "CD1_1": -1.1e-4, "CD2_2": 1.1e-4, "CD1_2": 0.0}
    cards |= {"CD2_1": 0.0, "BUNIT": "nanomaggy", "BSCALE": 1.0, "BANDS": "ugriz"}
    for number, image in enumerate(images):
        header = fits.Header(cards)
        packed = fits.CompImageHDU(image, header)
        if number % 3 == 2:
            fits.HDUList([fits.PrimaryHDU(), packed]).writeto(folder / f"{number}.fits")
        else:
            fits.writeto(folder / f"{number}.fits", image, header, output_verify="ignore")


def flipped(content: bytes, generator: np.random.Generator) -> bytes:
    """With some bits the other way round, half of the time in the headers alone."""
    changed = bytearray(content)
    end = min(len(content), 11520) if generator.random() < 0.6 else len(content)
    for place in generator.integers(0, end, generator.integers(1, 30)):
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def cut(content: bytes, generator: np.random.Generator) -> bytes:
    """Without its end, or with rubbish in its place."""
    kept = content[: int(generator.integers(len(content)))]
    return kept + (generator.bytes(5000) if generator.random() < 0.3 else b"")


def lying(content: bytes, generator: np.random.Generator) -> bytes:
    """With one or two header cards that say something else."""
    for _ in range(int(generator.integers(1, 3))):
        keywords = [key for key in LIES if re.search(rb"%-8s=" % key.encode(), content)]
        keyword = keywords[int(generator.integers(len(keywords)))]
        places = [found.start() for found in re.finditer(rb"%-8s=" % keyword.encode(), content)]
        places = [place for place in places if place % CARD == 0] or places
        place = places[int(generator.integers(len(places)))]
        value = LIES[keyword][int(generator.integers(len(LIES[keyword])))]
        card = f"{keyword:<8}= {value:>20}".ljust(CARD).encode("ascii")
        content = content[:place] + card + content[place + CARD :]
    return content


CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (flipped, cut, lying, lying)


class Worker:
    """A process that runs one command line after the other, and is replaced when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: list[str]) -> dict[str, object]:
        """What became of a command line."""
        if self._process is None:
            command = [sys.executable, "-c", WORKER]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._process = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            in_time = selector.select(SECONDS_FOR_ONE)
        line = process.stdout.readline() if in_time else ""
        if line:
            answer: dict[str, object] = json.loads(line)
            return answer
        process.kill()
        self._process = None
        return {"code": "crash" if in_time else "hang", "stderr": "", "megabytes": 0}


def verdict(answer: dict[str, object], usual: int) -> str:
    """What is wrong with the way a command ended; nothing if all is well."""
    told, megabytes = str(answer["stderr"]), answer["megabytes"]
    lines = told.splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    if "Traceback" in told or answer["code"] not in (0, 1):
        return f"ended by {answer['code']}"
    if answer["code"] == 1 and (
        len(errors) != 1 or not lines[-1].startswith(("Hint: ", "Error: "))
    ):
        return "not one sentence"
    assert isinstance(megabytes, int)
    return "too much memory" if megabytes > usual + MOST_MEGABYTES_MORE else ""


def main() -> int:
    """Try all files and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", help="a small one is faster [default: the one that ships]")
    parser.add_argument("--keep", type=Path, help="folder for the files that were too much")
    given = parser.parse_args()
    options = ["--device", "cpu", "--overwrite", *(["--model", given.model] if given.model else [])]
    codes: dict[str, int] = {}
    failures = []
    with tempfile.TemporaryDirectory() as name:
        folder, worker = Path(name), Worker()
        write_sound_files(folder)
        output = ["-o", str(folder / "z.fits")]
        for catalog in ("column.fits", "files.fits"):
            sound = worker.run(["predict", str(folder / catalog), *output, *options])
            if sound["code"] != 0:
                raise SystemExit(f"a sound file fails: {sound}")
        usual = int(str(sound["megabytes"]))
        for number in range(given.files):
            generator = np.random.default_rng((given.seed, number))
            which = ("column.fits", "files.fits", *(f"{n}.fits" for n in range(4)))[number % 6]
            change = CHANGES[number // 6 % len(CHANGES)]
            sound_bytes = (folder / which).read_bytes()
            (folder / which).write_bytes(change(sound_bytes, generator))
            catalog = which if which == "column.fits" else "files.fits"
            answer = worker.run(["predict", str(folder / catalog), *output, *options])
            codes[str(answer["code"])] = codes.get(str(answer["code"]), 0) + 1
            if wrong := verdict(answer, usual):
                failures.append({"number": number, "file": which, "change": change.__name__})
                failures[-1] |= {"wrong": wrong, "stderr": str(answer["stderr"])[-600:]}
                if given.keep:
                    (given.keep / f"{number}-{which}").write_bytes((folder / which).read_bytes())
            (folder / which).write_bytes(sound_bytes)
    result = {"files": given.files, "exit_codes": codes, "failures": failures}
    print(json.dumps(result, indent=1))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
