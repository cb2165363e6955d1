"""The page of look-alikes: complete in itself, sorted by a browser, hostile values escaped."""

from __future__ import annotations

import base64
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from photoz_ssl.workflows.pictures.gallery_page import Page
from photoz_ssl.workflows.pictures.shown import GalleryRow, Shown

PICTURE = np.zeros((64, 64, 3), np.uint8)
NAN = float("nan")


def galaxy(object_id: int, similarity: float = NAN, redshift: float = NAN) -> Shown:
    return Shown(PICTURE, str(object_id), 150.25, -2.5, redshift, similarity)


ROWS = (
    GalleryRow(
        galaxy(1237648720693755918),
        (
            galaxy(1237648720693755919, 0.98, 0.3),
            galaxy(1237648720693755917, 0.97),
            galaxy(12, 0.96, 0.05),
        ),
    ),
    GalleryRow(Shown(PICTURE, "", NAN, NAN, NAN), (galaxy(3, 0.5, 0.1),)),
)


def written(path: Path, title: str = "atlas.h5") -> str:
    page = Page(path, path, title)
    for row in ROWS:
        page.add(row)
    page.finish()
    return path.read_text(encoding="utf-8")


class Parsed(HTMLParser):
    """Tags that are balanced, their attributes, and the text of cells."""

    VOID = frozenset(("meta", "img"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_holds_all_that_it_shows(tmp_path: Path) -> None:
    parsed = Parsed(written(tmp_path / "page.html"))
    assert len(parsed.all("tbody")) == 2
    assert len(parsed.all("tr")) == 1 + 2 + 4
    assert not parsed.all("link")
    assert [script for script in parsed.all("script") if "src" in script] == []
    for picture in parsed.all("img"):
        kind, _, data = str(picture["src"]).partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")


def test_a_stamp_leads_to_its_place_on_the_sky(tmp_path: Path) -> None:
    parsed = Parsed(written(tmp_path / "page.html"))
    links = [str(link["href"]) for link in parsed.all("a")]
    assert len(links) == 4 * 5  # the second query has no position
    for host in ("aladin.cds.unistra.fr", "ned.ipac.caltech.edu", "skyserver.sdss.org"):
        assert any(link.startswith(f"https://{host}/") for link in links)
    assert all("150.250000" in link and "-2.500000" in link for link in links)
    assert all(link["rel"] == "noopener noreferrer" for link in parsed.all("a"))


def test_what_is_unknown_is_left_empty(tmp_path: Path) -> None:
    text = written(tmp_path / "page.html")
    assert ">nan<" not in text.lower()
    assert '<td data-value="">query</td>' in text


@pytest.mark.parametrize("title", ["<script>alert(1)</script>", '"><img src=x>', "a\udcff.h5"])
def test_a_hostile_name_is_text(tmp_path: Path, title: str) -> None:
    text = written(tmp_path / "page.html", title)
    assert len(Parsed(text).all("script")) == 1
    assert len(Parsed(text).all("img")) == 6


def told_by_browser(path: Path, script: str) -> str:
    """What a script in the page says, in a real headless Chromium; `written` before."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    tell = f"const told = (() => {{ {script} }})(); document.body.textContent = `told:${{told}}:`;"
    text = written(path)
    path.write_text(text.replace("</body>", f"<script>{tell}</script></body>"))
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=500,400",
        f"--user-data-dir={path.parent}/user",
    )
    done = subprocess.run(
        [chromium, *flags, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.partition("told:")[2].partition(":")[0]


def ids_after_clicks(path: Path, column: int, n_clicks: int) -> list[str]:
    """Ids in a browser's order, after clicks on a column's name."""
    click = f"document.querySelectorAll('th')[{column}].firstChild.click();"
    ids = (
        "return [...document.querySelectorAll('tr')].slice(1)"
        ".map(row => row.cells[2].dataset.value).join(' ');"
    )
    return told_by_browser(path, click * n_clicks + ids).split(" ")


def test_names_of_columns_stay_when_the_page_is_scrolled(tmp_path: Path) -> None:
    script = (
        "scrollTo(60, 250); const { top, left } = document.querySelector('th')"
        ".getBoundingClientRect(); return [scrollX, scrollY, top, left].map(Math.round).join(' ');"
    )
    across, down, top, left = map(int, told_by_browser(tmp_path / "page.html", script).split(" "))
    assert (across, down, top) == (60, 250, 0)
    assert left < 0  # the table is wider than the window


QUERY = "1237648720693755918"
BRIGHT, FAINT, SHORT = "1237648720693755919", "1237648720693755917", "12"


@pytest.mark.parametrize(
    ("column", "n_clicks", "order"),
    [
        (0, 0, [BRIGHT, FAINT, SHORT]),
        (2, 1, [SHORT, FAINT, BRIGHT]),  # ids of 19 digits are told apart
        (5, 1, [SHORT, FAINT, BRIGHT]),
        (5, 2, [BRIGHT, FAINT, SHORT]),
        (6, 1, [SHORT, BRIGHT, FAINT]),  # unknown redshifts come last
        (6, 2, [BRIGHT, SHORT, FAINT]),
    ],
)
def test_a_browser_sorts_the_neighbours_under_their_query(
    tmp_path: Path, column: int, n_clicks: int, order: list[str]
) -> None:
    ids = ids_after_clicks(tmp_path / "page.html", column, n_clicks)
    assert ids == [QUERY, *order, "", "3"]
