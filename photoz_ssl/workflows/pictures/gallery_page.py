"""Queries and their neighbours as one self-contained web page."""

from __future__ import annotations

import base64
import math
from html import escape
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from photoz_ssl.files import output_errors
from photoz_ssl.workflows.pictures.shown import GalleryRow, Shown

__all__ = ["MOST_PAGE_ROWS", "Page"]

MOST_PAGE_ROWS = 500

COLUMNS = ("Rank", "Galaxy", "Id", "RA", "Dec", "Similarity", "Redshift", "Elsewhere")
SORTED_BY = frozenset(("Rank", "Id", "RA", "Dec", "Similarity", "Redshift"))

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " base-uri 'none'; form-action 'none'"
)
"""What a browser may do for the page: nothing that is not in it."""

STYLE = """
:root { color-scheme: light dark; --ink: #182033; --faint: #5b667c; --line: #d5dbe6;
  --page: #f4f6fa; --card: #fff; --accent: #2456c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf3; --faint: #9aa6bd;
  --line: #2a3346; --page: #0d111a; --card: #151b28; --accent: #8fb4ff; } }
body { margin: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.2rem; margin: 0; } p { color: var(--faint); margin: .3rem 0 1rem; }
table { border-collapse: collapse; background: var(--card); font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th { position: sticky; top: 0; background: var(--card); z-index: 1; box-shadow: 0 1px var(--line); }
th:nth-child(2), td:nth-child(2), th:last-child, td:last-child { text-align: left; }
th button { font: inherit; font-weight: 650; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; }
th button:hover, a { color: var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
tbody { border-top: 3px solid var(--page); }
tr.query td { background: color-mix(in srgb, #e69f00 16%, transparent); font-weight: 650; }
img { display: block; width: 96px; height: 96px; image-rendering: pixelated; border-radius: 4px; }
td a + a { margin-left: .8rem; }
"""

SCRIPT = """
const number = text => text === "" ? NaN : Number(text);
const compare = (a, b) => {
  const missing = Number.isNaN(number(a)) - Number.isNaN(number(b));
  if (missing || Number.isNaN(number(a))) return { missing, order: 0 };
  const whole = [a, b].every(text => /^-?\\d+$/.test(text));
  const [one, two] = [a, b].map(whole ? BigInt : Number);
  return { missing: 0, order: one < two ? -1 : one > two ? 1 : 0 };
};
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, column = head.cellIndex;
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    for (const other of head.parentElement.cells) other.ariaSort = null;
    head.ariaSort = sign > 0 ? "ascending" : "descending";
    const value = row => row.cells[column].dataset.value ?? "";
    for (const body of document.querySelectorAll("tbody")) {
      const rows = [...body.rows].filter(row => !row.classList.contains("query"));
      rows.sort((a, b) => {
        const { missing, order } = compare(value(a), value(b));
        return missing || sign * order;
      });
      body.append(...rows);
    }
  });
}
"""


class Page:
    """A page with a table of each query and its neighbours, written row by row.

    Parameters
    ----------
    path, shown : Path
        File to write, and its name in an error.
    title : str
        What was searched.
    """

    def __init__(self, path: Path, shown: Path, title: str) -> None:
        self._path, self._shown = path, shown
        self._n_rows = 0
        self._write(_head(title), "w")

    @property
    def room(self) -> int:
        """How many more rows it takes."""
        return MOST_PAGE_ROWS - self._n_rows

    def add(self, row: GalleryRow) -> None:
        """Show one more query and its neighbours."""
        lines = [_line(row.query, "", is_query=True)]
        lines += [
            _line(galaxy, str(rank), is_query=False)
            for rank, galaxy in enumerate(row.neighbours, 1)
        ]
        self._write("<tbody>\n" + "".join(lines) + "</tbody>\n")
        self._n_rows += 1

    def finish(self) -> None:
        """Close the page."""
        self._write(f"</table></main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n")

    def _write(self, text: str, mode: str = "a") -> None:
        with output_errors(self._shown), self._path.open(mode, encoding="utf-8") as file:
            file.write(text)


def _head(title: str) -> str:
    heads = "".join(
        f'<th scope="col"><button type="button">{name}</button></th>'
        if name in SORTED_BY
        else f'<th scope="col">{name}</th>'
        for name in COLUMNS
    )
    name = escape(_printable(title))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Look-alikes in {name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Look-alikes in {name}</h1>\n"
        "<p>Each coloured row is a query, followed by its neighbours, the most similar first. A"
        " column's name sorts the neighbours of every query.</p>\n"
        f"<main><table>\n<thead><tr>{heads}</tr></thead>\n"
    )


def _line(galaxy: Shown, rank: str, *, is_query: bool) -> str:
    cells = [
        _cell(rank, "query" if is_query else rank),
        f"<td>{_stamp(galaxy)}</td>",
        _cell(galaxy.name, galaxy.name),
        *(
            _cell(_number(value, digits), _number(value, digits))
            for value, digits in (
                (galaxy.ra, 6),
                (galaxy.dec, 6),
                (galaxy.similarity, 4),
                (galaxy.redshift, 5),
            )
        ),
        f"<td>{_links(galaxy)}</td>",
    ]
    return f"<tr{' class=query' if is_query else ''}>{''.join(cells)}</tr>\n"


def _cell(value: str, text: str) -> str:
    return f'<td data-value="{escape(value)}">{escape(text)}</td>'


def _number(value: float, digits: int) -> str:
    """A number as text; nothing for what is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def _stamp(galaxy: Shown) -> str:
    """The picture; a link to the place on the sky where that is known."""
    from PIL import Image  # here, as a search without a page does not need it

    with BytesIO() as packed:
        Image.fromarray(galaxy.picture[::-1].copy()).save(packed, "PNG", optimize=True)
        data = base64.b64encode(packed.getvalue()).decode()
    picture = (
        f'<img src="data:image/png;base64,{data}" width="96" height="96" loading="lazy"'
        f' alt="galaxy {escape(galaxy.name)}">'
    )
    places = _places(galaxy)
    return _anchor(places["Aladin Lite"], picture) if places else picture


def _links(galaxy: Shown) -> str:
    return " ".join(_anchor(address, escape(name)) for name, address in _places(galaxy).items())


def _anchor(address: str, content: str) -> str:
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{content}</a>'


def _places(galaxy: Shown) -> dict[str, str]:
    """Where to see more of a place on the sky; nothing without a position."""
    if not (math.isfinite(galaxy.ra) and math.isfinite(galaxy.dec)):
        return {}
    ra, dec = f"{galaxy.ra:.6f}", f"{galaxy.dec:+.6f}"
    return {
        "Aladin Lite": (
            f"https://aladin.cds.unistra.fr/AladinLite/?target={quote(f'{ra} {dec}')}&fov=0.03"
        ),
        "NED": (
            "https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search"
            f"&coordinates={quote(f'{ra}d {dec}d')}&radius=0.2"
        ),
        "SkyServer": (
            f"https://skyserver.sdss.org/dr18/VisualTools/quickobj?ra={ra}&dec={quote(dec)}"
        ),
    }


def _printable(text: str) -> str:
    """A file's name, whose bytes may be no text."""
    return text.encode("utf-8", "replace").decode()
