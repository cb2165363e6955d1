"""The page of ``browse`` as a person uses it, in a real headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest

from photoz_ssl.neighbours.atlas import read_atlas

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PLACE = """async row => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    const { map } = browse, p = map.cloud.positions;
    const [x, y] = map.view.toScreen(p[2 * row], p[2 * row + 1]);
    const area = map.canvas.getBoundingClientRect();
    return [x + area.x, y + area.y];
}"""
"""Of a row on the screen, when the map has taken up a new size of the window."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser with a fresh profile."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(chromium: Any) -> Iterator[Any]:
    """One for all tests: to open another takes longer than to load the page anew."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def page(tab: Any, browsed: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, loaded; it must not complain, nor ask anybody else for anything."""
    yield from watched(tab, browsed, request)


@pytest.fixture
def odd_page(tab: Any, odd: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page of the stranger atlas, of which the same is asked."""
    yield from watched(tab, odd, request)


def watched(page: Any, browsed: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    wrong: list[str] = []
    heard: dict[str, Callable[[Any], None]] = {
        "pageerror": lambda error: wrong.append(str(error)),
        "console": lambda message: wrong.extend([message.text] * (message.type == "error")),
        "request": lambda asked: wrong.extend({asked.url} - ours({asked.url}, browsed.url)),
    }
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    page.mouse.move(0, 0)
    for event, hear in heard.items():
        page.on(event, hear)
    load(page, browsed.url)
    yield page
    if folder := os.environ.get("PHOTOZ_SSL_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.name}.png")
    for event, hear in heard.items():
        page.remove_listener(event, hear)
    assert not [line for line in wrong if "400 (Bad Request)" not in line]


def ours(addresses: set[str], start: str) -> set[str]:
    return {address for address in addresses if address.startswith(start)}


def load(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("html[data-ready]")


def open_row(page: Any, row: int) -> None:
    page.mouse.click(*page.evaluate(PLACE, row))
    page.wait_for_selector("#neighbours .stamp img")
    page.wait_for_selector("#neighbours:not(.busy)")


def rows_shown(page: Any) -> list[int]:
    page.wait_for_selector("#neighbours:not(.busy)")
    return [
        int(row) for row in page.eval_on_selector_all(".stamp", "s => s.map(e => e.dataset.row)")
    ]


def test_it_loads_and_draws_the_map(page: Any) -> None:
    assert page.title() == "toy <atlas>.h5 – photoz-ssl"
    assert page.inner_text("#atlas-name") == "toy <atlas>.h5"
    assert page.inner_text("#count") == "All 24 galaxies"
    painted = (
        "() => new Set(new Uint32Array(document.getElementById('map').getContext('2d')"
        ".getImageData(0, 0, 900, 700).data.buffer)).size"
    )
    page.wait_for_function(f"() => ({painted})() > 5")


def test_the_open_galaxy_is_pictured_before_its_neighbours(page: Any) -> None:
    page.evaluate("browse.map.zoom(0.5)")  # so that pictures would lie on one another
    page.wait_for_function("() => browse.map.pictured.size > 0")
    for row in range(24):
        page.evaluate("row => browse.map.pick(row)", row)
        page.wait_for_function(
            "row => browse.map.marks.current === row && browse.map.marks.neighbours.length === 23",
            arg=row,
        )
        page.wait_for_function("row => browse.map.pictured.has(row)", arg=row, timeout=3000)


def test_tools_of_two_rows_leave_the_map_free(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.click("#zoom-all")
    highest = """() => {
        const { view, cloud } = browse.map;
        return view.toScreen(0, cloud.bounds[3])[1];
    }"""
    tools = (
        "() => { const t = document.getElementById('tools'); return t.offsetTop + t.offsetHeight; }"
    )
    one_row = page.evaluate(tools)
    assert page.evaluate(highest) > one_row
    page.select_option("#colour", "Z_SPEC")
    page.wait_for_selector("#legend:not([hidden])")
    page.wait_for_function(f"() => ({highest})() > ({tools})()", timeout=3000)
    assert page.evaluate(tools) > one_row + 20
    page.evaluate("browse.map.zoom(2)")
    page.select_option("#colour", "")
    page.wait_for_selector("#legend", state="hidden")
    scale = page.evaluate("browse.map.view.scale / browse.map.leastScale")
    assert scale == pytest.approx(2)


def test_hovering_shows_a_stamp(page: Any) -> None:
    page.mouse.move(*page.evaluate(PLACE, 5))
    page.wait_for_selector("#tip img")
    assert "1005" in page.inner_text("#tip")
    page.wait_for_function("() => document.querySelector('#tip img').naturalWidth === 64")


def test_clicking_shows_the_neighbours_and_theirs(page: Any, browsed: Any) -> None:
    atlas = read_atlas(browsed.atlas)
    open_row(page, 5)
    assert page.inner_text("#galaxy h2") == "1005"
    vectors = atlas.representations.astype(np.float64)
    similarity = vectors @ vectors[5] / np.linalg.norm(vectors, axis=1)
    assert rows_shown(page)[:5] == [row for row in np.argsort(-similarity) if row != 5][:5]
    first = rows_shown(page)[0]
    page.click("#neighbours .stamp >> nth=0")
    page.wait_for_function(
        f"() => document.querySelector('#galaxy h2').textContent === '{1000 + first}'"
    )
    assert 5 in rows_shown(page)


def test_liking_moves_the_question(page: Any) -> None:
    open_row(page, 5)
    before = rows_shown(page)
    page.click(f'[aria-label="Like {1000 + before[-1]}"]')
    page.wait_for_selector(".example.liked")
    page.wait_for_function(
        f"() => document.querySelectorAll('.stamp').length === {len(before) - 1}"
    )
    assert set(rows_shown(page)) == set(before) - {before[-1]}
    page.click('#galaxy [aria-label="Unlike 1005"]')
    page.wait_for_selector(".example.unliked")
    page.click(".example.liked")
    page.wait_for_selector(".example.liked", state="detached")


def test_filtering_narrows_map_count_and_neighbours(page: Any, browsed: Any) -> None:
    atlas = read_atlas(browsed.atlas)
    inside = set(np.flatnonzero((atlas.redshift >= 0.1) & (atlas.redshift <= 0.25)).tolist())
    open_row(page, 5)
    page.fill('[aria-label="Z_SPEC from"]', "0.1")
    page.fill('[aria-label="Z_SPEC to"]', "0.25")
    page.wait_for_function(
        f"() => document.querySelectorAll('.stamp').length === {len(inside - {5})}"
    )
    assert page.inner_text("#count") == f"{len(inside)} of 24 galaxies"
    assert set(rows_shown(page)) == inside - {5}
    page.click("#clear")
    assert page.inner_text("#count") == "All 24 galaxies"


def test_a_window_the_wrong_way_round_is_told(page: Any) -> None:
    edges = ['[aria-label="Z_SPEC from"]', '[aria-label="Z_SPEC to"]']
    page.fill(edges[0], "0.3")
    assert page.inner_text(".filter .hint") == ""
    page.fill(edges[1], "0.1")
    assert page.inner_text(".filter .hint") == "Nothing lies between: 0.3 is more than 0.1."
    assert [page.get_attribute(edge, "aria-invalid") for edge in edges] == ["true", "true"]
    assert page.inner_text("#count") == "0 of 24 galaxies"
    page.click("#clear")
    assert page.inner_text(".filter .hint") == ""
    assert [page.get_attribute(edge, "aria-invalid") for edge in edges] == ["false", "false"]


def test_a_histogram_can_be_brushed_and_a_column_added(page: Any) -> None:
    page.select_option("#add-filter", "RA")
    page.wait_for_selector('[aria-label="RA from"]')
    area = page.locator(".filter canvas >> nth=0").bounding_box()
    page.mouse.move(area["x"] + 100, area["y"] + 20)
    page.mouse.down()
    page.mouse.move(area["x"] + 250, area["y"] + 20, steps=4)
    page.mouse.up()
    assert float(page.input_value('[aria-label="Z_SPEC from"]')) > 0
    assert page.inner_text("#count").endswith("of 24 galaxies")


def test_a_selection_is_downloaded_as_fits(page: Any, browsed: Any, tmp_path: Path) -> None:
    atlas = read_atlas(browsed.atlas)
    page.fill('[aria-label="Z_SPEC to"]', "0.2")
    with page.expect_download() as waiting:
        page.click("#selection-fits")
    waiting.value.save_as(tmp_path / "selection.fits")
    table = fitsio.read(tmp_path / "selection.fits", ext="SELECTION")
    assert table["OBJID"].tolist() == atlas.object_id[atlas.redshift <= np.float32(0.2)].tolist()
    open_row(page, int(np.argmin(atlas.redshift)))
    shown = rows_shown(page)
    with page.expect_download() as waiting:
        page.click("#alike-fits")
    waiting.value.save_as(tmp_path / "neighbours.fits")
    table = fitsio.read(tmp_path / "neighbours.fits", ext="NEIGHBOURS")
    assert table["NEIGHBOUR_ID"].tolist() == atlas.object_id[shown].tolist()


def test_a_box_selects(page: Any) -> None:
    x, y = page.evaluate(PLACE, 5)
    page.keyboard.down("Shift")
    page.mouse.move(x - 8, y - 8)
    page.mouse.down()
    page.mouse.move(x + 8, y + 8, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_function("() => !document.getElementById('count').textContent.startsWith('All')")
    assert int(page.inner_text("#count").split()[0]) >= 1
    page.keyboard.press("Escape")
    assert page.inner_text("#count") == "All 24 galaxies"


def test_search_by_id_by_position_and_in_vain(page: Any, browsed: Any) -> None:
    atlas = read_atlas(browsed.atlas)
    page.keyboard.press("/")
    page.keyboard.type("1009")
    page.keyboard.press("Enter")
    page.wait_for_selector("#galaxy h2")
    assert page.inner_text("#galaxy h2") == "1009"
    page.fill("#query", f"{atlas.ra[3]} {atlas.dec[3]}")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#galaxy h2').textContent === '1003'")
    page.fill("#query", "<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message:not([hidden])")
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#message")


def test_a_galaxy_without_an_image_keeps_saying_so(odd_page: Any) -> None:
    page = odd_page
    page.mouse.click(*page.evaluate(PLACE, 3))
    page.wait_for_selector("#neighbours .empty")
    page.evaluate("document.getElementById('message').hidden = true")
    assert page.inner_text("#neighbours") == "The galaxy 1003 had no usable image."
    assert page.locator("#galaxy img, #galaxy .like").count() == 0
    assert page.locator("#galaxy .facts").bounding_box()["width"] > 200
    assert not page.is_visible("#alike-fits")
    assert not page.is_visible("#alike-send")
    page.keyboard.press("l")
    page.wait_for_selector("#message:not([hidden])")
    assert page.evaluate("browse.state.like.size") == 0
    open_row(page, 5)
    assert page.is_visible("#alike-fits")
    page.fill('[aria-label="Z_SPEC from"]', "9")
    page.wait_for_selector("#neighbours .empty")
    assert not page.is_visible("#alike-fits")
    note, grid = (
        page.locator(name).bounding_box() for name in ("#neighbours .empty", "#neighbours")
    )
    assert note["width"] > 0.9 * grid["width"]


def test_a_column_of_one_huge_number_is_a_colour_and_a_filter(odd_page: Any) -> None:
    page = odd_page
    page.select_option("#colour", "HUGE")
    page.wait_for_selector("#legend:not([hidden])")
    page.select_option("#add-filter", "HUGE")
    page.wait_for_selector('[aria-label="HUGE from"]')
    page.wait_for_function("() => [...browse.state.ranges.values()].every(range => range.values)")
    assert page.evaluate("browse.map.colouring.span[1] - browse.map.colouring.span[0]") > 0
    assert page.inner_text("#legend-low") == "1.1528e+18"
    coloured = """() => {
        const canvas = document.getElementById("map"), { data } = canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((alpha, at) => at % 4 === 3 && alpha > 200).length;
    }"""
    assert page.evaluate(coloured) > 500


def test_a_place_in_a_span_is_always_a_number(page: Any) -> None:
    fractions = """async () => {
        const { fraction } = await import(new URL("paint.js", location));
        return [[3, 2, 4], [9, 2, 4], [2, 2, 2], [NaN, 2, 4]].map(
            ([value, ...span]) => fraction(value, span));
    }"""
    assert page.evaluate(fractions) == [0.5, 1, 0.5, 0.5]


def test_refusals_call_things_by_their_names(page: Any) -> None:
    told = """async ([message, hint]) => {
        const { sentence } = await import(new URL("api.js", location));
        return sentence(message, hint);
    }"""
    for message, hint, sentence in (
        ("the id 12 is not there", "write one", "The id 12 is not there: write one."),
        ("a_noid.h5 has no positions", "", "a_noid.h5 has no positions."),
        ("odd.h5 has none", "", "odd.h5 has none."),
        ("m31 is not an id", "", "m31 is not an id."),
    ):
        assert page.evaluate(told, [message, hint]) == sentence


def test_captions_stay_on_their_lines(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.evaluate("browse.map.pick(5)")
    page.wait_for_selector("#neighbours .stamp img")
    heights = "spans => spans.map(span => span.getBoundingClientRect().height)"
    assert max(page.eval_on_selector_all(".caption span", heights)) < 20


def test_a_file_is_dropped(page: Any, browsed: Any) -> None:
    content = [*browsed.image.read_bytes()]
    data = page.evaluate_handle(
        """([bytes, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [content, browsed.image.name],
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": data})
    assert page.is_visible("#drop")
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    page.wait_for_selector("#neighbours .stamp img", timeout=90_000)
    assert page.inner_text("#galaxy h2") == browsed.image.name
    assert not page.is_visible("#drop")
    assert 6 in rows_shown(page)[:3]
    page.set_input_files("#file", files=[{"name": "no.fits", "mimeType": "", "buffer": b"no"}])
    page.wait_for_selector("#message:not([hidden])")
    page.wait_for_function(
        "() => document.getElementById('message').textContent.startsWith('The image')"
    )


IN_VIEW = """() => {
    const { top, bottom } = document.getElementById("galaxy").getBoundingClientRect();
    return top > -1 && bottom < innerHeight + 1;
}"""


def test_the_panel_shows_what_was_opened(page: Any, browsed: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 420})
    page.click("#zoom-all")
    open_row(page, 5)
    acts: tuple[Callable[[], Any], ...] = (
        lambda: page.evaluate("browse.map.pick(6)"),
        lambda: page.click("#neighbours .stamp >> nth=0"),
        lambda: page.set_input_files("#file", browsed.image),
    )
    for act in acts:
        page.evaluate("document.getElementById('side').scrollTop = 1e4")
        before = page.inner_text("#galaxy h2")
        assert not page.evaluate(IN_VIEW)
        act()
        page.wait_for_function(
            "name => document.querySelector('#galaxy h2').textContent !== name", arg=before
        )
        page.wait_for_selector("#neighbours:not(.busy)")
        assert page.evaluate(IN_VIEW), before


def test_a_narrow_page_leaves_the_map_only_for_what_is_not_on_it(page: Any, browsed: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 700})
    page.mouse.click(*page.evaluate(PLACE, 5))
    page.wait_for_selector("#neighbours .stamp img")
    assert page.evaluate("scrollY") == 0
    page.set_input_files("#file", browsed.image)
    page.wait_for_function(
        "name => document.querySelector('#galaxy h2').textContent === name", arg=browsed.image.name
    )
    page.wait_for_selector("#neighbours:not(.busy)")
    assert page.evaluate(IN_VIEW)
    page.click("#neighbours .stamp >> nth=9")
    page.wait_for_function(
        "name => document.querySelector('#galaxy h2').textContent !== name", arg=browsed.image.name
    )
    page.wait_for_selector("#neighbours:not(.busy)")
    assert page.evaluate(IN_VIEW)


def test_the_keyboard_is_enough(page: Any) -> None:
    page.keyboard.press("m")
    assert page.evaluate("document.activeElement.id") == "map"
    before = page.evaluate("[browse.map.view.x, browse.map.view.scale]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    after = page.evaluate("[browse.map.view.x, browse.map.view.scale]")
    assert after[0] > before[0]
    assert after[1] > before[1]
    page.keyboard.press("0")
    page.evaluate("""() => { const { map } = browse, p = map.cloud.positions;
        map.view.x = p[10]; map.view.y = p[11]; }""")
    page.keyboard.press("Enter")
    page.wait_for_selector("#neighbours .stamp img")
    assert page.inner_text("#galaxy h2") == "1005"
    page.keyboard.press("l")
    page.wait_for_selector(".example.liked")
    page.focus("#neighbours .stamp >> nth=0")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.row") == str(rows_shown(page)[1])
    page.keyboard.press("Tab")
    liked = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.example.liked').length === 2")
    page.wait_for_selector("#neighbours:not(.busy)")
    assert page.evaluate("document.activeElement.closest('#neighbours') !== null"), liked
    page.keyboard.press("Escape")
    page.wait_for_selector("#alike", state="hidden")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys")


def test_everything_that_can_be_used_has_a_name(page: Any) -> None:
    open_row(page, 5)
    nameless = """() => [...document.querySelectorAll('button, a, input, select, #map')]
        .filter(e => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()))
        .map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []
    assert (
        page.evaluate("[...document.images].filter(i => i.getAttribute('alt') === null).length")
        == 0
    )


SEEN = """pairs => {
    const style = getComputedStyle(document.documentElement), canvas = new OffscreenCanvas(1, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const luminance = (name) => {
        context.fillStyle = style.getPropertyValue(name);
        context.fillRect(0, 0, 1, 1);
        const linear = [...context.getImageData(0, 0, 1, 1).data].map((byte) =>
            byte / 255 <= 0.04045 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    return pairs.map((pair) => {
        const [dark, bright] = pair.map(luminance).sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_and_inputs_stand_out_as_wcag_asks(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    marks = ["--mark", "--mark-2", "--like", "--unlike", "--accent"]
    inputs = [("--edge", "--card"), ("--edge", "--page"), ("--unlike", "--card")]
    pairs = [*((mark, "--sky") for mark in marks), *inputs]
    contrasts = page.evaluate(SEEN, pairs)
    assert {pair: seen for pair, seen in zip(pairs, contrasts, strict=True) if seen < 3} == {}
    edge = page.evaluate("getComputedStyle(document.getElementById('query')).borderTopColor")
    hexadecimal = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--edge')"
    ).strip()
    channels = [int(hexadecimal[at : at + 2], 16) for at in (1, 3, 5)]
    assert edge == f"rgb({', '.join(map(str, channels))})"


def test_a_phone_has_no_sideways_scroll_and_can_tap(chromium: Any, browsed: Any) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    load(page, browsed.url)
    page.touchscreen.tap(*page.evaluate(PLACE, 5))
    page.wait_for_selector("#neighbours .stamp img")
    assert page.inner_text("#galaxy h2") == "1005"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
