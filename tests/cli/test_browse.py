"""The server of ``browse``: what it answers, whom it refuses, and how it ends."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from photoz_ssl.config import BrowseConfig, SimilarConfig
from photoz_ssl.errors import MissingExtraError
from photoz_ssl.neighbours.atlas import read_atlas
from photoz_ssl.workflows.browse import browse
from photoz_ssl.workflows.similar import similar
from tests.cli.conftest import start_browse
from tests.processes import COMMAND_LINE, Fork


class Caller:
    """Asks a running page by HTTP."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.path = parts.netloc, parts.path

    def raw(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.status, response.read(), dict(response.getheaders())
        connection.close()
        return answer

    def get(self, path: str) -> bytes:
        status, body, _ = self.raw(self.path + path)
        assert status == 200, body
        return body

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def table(self, path: str, folder: Path, ext: str) -> Any:
        (folder / "table.fits").write_bytes(self.get(path))
        return fitsio.read(folder / "table.fits", ext=ext)

    def refusal(self, path: str, method: str = "GET", body: bytes | None = None) -> str:
        status, answer, _ = self.raw(self.path + path, method, body)
        assert status == 400, (status, answer)
        return str(json.loads(answer)["message"])


@pytest.fixture(scope="session")
def caller(browsed: Any) -> Caller:
    return Caller(browsed.url)


@pytest.fixture(scope="session")
def atlas(browsed: Any) -> Any:
    return read_atlas(browsed.atlas)


def test_the_command_says_what_it_serves(browsed: Any) -> None:
    assert browsed.told.startswith("photoz-ssl: 24 galaxies of ")
    assert browsed.told.endswith(f"; Ctrl-C ends it → {browsed.url}\n")


def test_the_page_knows_its_atlas(caller: Caller, atlas: Any) -> None:
    described = caller.json("api/atlas")
    assert described["galaxies"] == 24
    assert described["map"] == "neighbours"
    assert described["suggested"] == ["Z_SPEC"]
    assert "OBJID" not in described["columns"]
    redshift = np.frombuffer(caller.get("api/column?name=Z_SPEC"), "<f4")
    np.testing.assert_array_equal(redshift, atlas.redshift)
    assert np.isfinite(np.frombuffer(caller.get("api/positions"), "<f4")).all()


def test_a_galaxy_is_told_and_shown(caller: Caller, atlas: Any) -> None:
    galaxy = caller.json("api/galaxy/5")
    assert galaxy["id"] == "1005"
    assert galaxy["columns"]["OBJID"] == 1005
    picture = np.asarray(Image.open(io.BytesIO(caller.get("api/stamp/5"))))
    np.testing.assert_array_equal(picture, atlas.thumbnails(np.array([5]))[0, ::-1])


def test_neighbours_are_those_of_similar(caller: Caller, atlas: Any, tmp_path: Path) -> None:
    found = caller.json("api/neighbours?galaxy=5&k=6")
    vectors = atlas.representations.astype(np.float64)
    similarity = vectors @ vectors[5] / np.linalg.norm(vectors, axis=1)
    similarity[5] = -1
    assert [galaxy["row"] for galaxy in found] == np.argsort(-similarity)[:6].tolist()
    table = caller.table("api/neighbours.fits?galaxy=5&k=6", tmp_path, "NEIGHBOURS")
    assert table["NEIGHBOUR_ID"].tolist() == [int(galaxy["id"]) for galaxy in found]
    assert (table["QUERY_ID"] == 1005).all()


def test_tables_tell_of_their_origin_as_those_of_similar_do(
    caller: Caller, browsed: Any, tmp_path: Path
) -> None:
    ours = tmp_path / "similar.fits"
    similar(SimilarConfig(like=("1005",), among=browsed.atlas, output=str(ours)))
    wanted = fitsio.read_header(ours, ext="NEIGHBOURS")
    assert wanted["CREATOR"].startswith("photoz-ssl ")
    for name, shared in (
        ("neighbours.fits?galaxy=5", ("CREATOR", "MODEL", "MODELSHA", "AMONG", "SEARCH")),
        ("selection.fits?", ("CREATOR", "MODEL", "MODELSHA")),
    ):
        (tmp_path / "table.fits").write_bytes(caller.get(f"api/{name}"))
        header = fitsio.read_header(tmp_path / "table.fits", ext=1)
        assert {key: header[key] for key in shared} == {key: wanted[key] for key in shared}
    assert header["ATLAS"] == "toy <atlas>.h5"


def test_likes_move_the_question_and_are_no_answer(caller: Caller) -> None:
    found = caller.json("api/neighbours?like=3&like=4&unlike=7&k=24")
    rows = {galaxy["row"] for galaxy in found}
    assert len(rows) == 21
    assert not rows & {3, 4, 7}
    moved = caller.json("api/neighbours?galaxy=5&like=3&k=24")
    plain = caller.json("api/neighbours?galaxy=5&k=24")
    assert {g["row"] for g in plain} - {g["row"] for g in moved} == {3}


def test_a_selection_is_what_its_windows_say(caller: Caller, atlas: Any, tmp_path: Path) -> None:
    table = caller.table("api/selection.fits?where=Z_SPEC:0.1:0.25", tmp_path, "SELECTION")
    inside = (atlas.redshift >= 0.1) & (atlas.redshift <= 0.25)
    assert table["OBJID"].tolist() == atlas.object_id[inside].tolist()
    x, y = (float(value) for value in (table["MAP_X"][0], table["MAP_Y"][0]))
    box = f"{x - 1e-3},{y - 1e-3},{x + 1e-3},{y + 1e-3}"
    one = caller.table(f"api/selection.fits?where=Z_SPEC::0.25&box={box}", tmp_path, "SELECTION")
    assert one["OBJID"].tolist() == table["OBJID"][:1].tolist()
    found = caller.json("api/neighbours?galaxy=5&where=Z_SPEC:0.1:0.25&k=24")
    assert {galaxy["row"] for galaxy in found} == {*np.flatnonzero(inside)} - {5}
    assert len(caller.table("api/selection.fits?where=Z_SPEC:9:", tmp_path, "SELECTION")) == 0


def test_a_galaxy_is_found_by_id_and_by_position(caller: Caller, atlas: Any) -> None:
    assert caller.json("api/search?q=1004") == {"row": 4, "arcsec": None}
    ra, dec = float(atlas.ra[7]), float(atlas.dec[7])
    for text in (f"{ra} {dec}", f" {ra}, {dec}", f"{ra}d {dec}d"):
        assert caller.json(f"api/search?q={quote(text)}") == {"row": 7, "arcsec": 0.0}
    from astropy.coordinates import SkyCoord

    text = SkyCoord(ra, dec, unit="deg").to_string("hmsdms", sep=":", precision=3)
    assert caller.json(f"api/search?q={quote(text)}")["row"] == 7


def test_a_dropped_image_finds_its_own_galaxy(caller: Caller, browsed: Any) -> None:
    status, answer, _ = caller.raw(caller.path + "api/image", "POST", browsed.image.read_bytes())
    assert status == 200, answer
    handle = json.loads(answer)["image"]
    found = caller.json(f"api/neighbours?image={handle}&k=3")
    assert found[0]["similarity"] > 0.98
    assert Image.open(io.BytesIO(caller.get(f"api/image/{handle}"))).size == (64, 64)


def test_what_is_told_of_a_dropped_image_names_no_file_of_ours(
    caller: Caller, browsed: Any, tmp_path: Path
) -> None:
    with fits.open(browsed.image) as file:
        fits.writeto(tmp_path / "bare.fits", file[0].data)  # neither WCS nor EBV nor BUNIT
    content = (tmp_path / "bare.fits").read_bytes()
    status, answer, _ = caller.raw(caller.path + "api/image", "POST", content)
    assert status == 200, answer
    assert b"the image has neither EBV nor a WCS" in answer
    assert b"/" not in b" ".join(n.encode() for n in json.loads(answer)["notices"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("api/galaxy/24", "has no row 24"),
        ("api/stamp/99999999999", "has no row"),
        ("api/stamp/" + "9" * 5000, "is not a whole number"),
        ("api/galaxy/first", "is not a whole number"),
        ("api/column?name=NOPE", "has no column NOPE"),
        ("api/column?name=SPLIT", "not a column of numbers"),
        ("api/neighbours", "nothing is asked"),
        ("api/neighbours?galaxy=-1", "not a whole number"),
        ("api/neighbours?galaxy=1&k=1000", "1 to 200"),
        ("api/neighbours?like=24", "has no row 24"),
        ("api/neighbours?image=nope", "forgotten"),
        ("api/selection.fits?where=Z_SPEC:a:b", "not a number"),
        ("api/selection.fits?where=1", "has no column"),
        ("api/selection.fits?where=Z_SPEC", "not a number"),
        ("api/selection.fits?box=1,2", "four numbers"),
        ("api/search?q=", "neither an id nor a position"),
        ("api/search?q=M31%20please", "neither an id nor a position"),
        ("api/search?q=10%20%2B95", "neither an id nor a position"),
        ("api/search?q=424242", "is not in"),
        ("api/search?q=1237648720693755918", "the id 1237648720693755918 is not in"),
        ("api/search?q=9999999999999999999", "neither an id nor a position"),
    ],
)
def test_a_bad_request_is_one_sentence(caller: Caller, path: str, words: str) -> None:
    assert words in caller.refusal(path)


def test_an_id_of_several_galaxies_is_told_as_a_page_can_help_it(odd: Any) -> None:
    caller = Caller(odd.url)
    status, answer, _ = caller.raw(f"{caller.path}api/search?q=1008")
    assert (status, json.loads(answer)) == (
        400,
        {
            "message": "the id 1008 stands for several galaxies of odd_1.h5",
            "hint": "search by position",
        },
    )


def test_a_galaxy_without_an_image_says_so(odd: Any) -> None:
    caller = Caller(odd.url)
    problem = "the galaxy 1003 had no usable image"
    assert caller.json("api/galaxy/3")["problem"] == problem
    assert caller.refusal("api/neighbours?galaxy=3") == problem
    assert caller.json("api/galaxy/4")["problem"] is None


def test_a_bad_image_is_one_sentence_without_a_path(caller: Caller, tmp_path: Path) -> None:
    fitsio.write(str(tmp_path / "bad.fits"), np.ones((4, 64, 64), "f4"), header={"EBV": 0.1})
    for content in (b"", b"not FITS", (tmp_path / "bad.fits").read_bytes()):
        message = caller.refusal("api/image", "POST", content)
        assert "the image" in message
        assert "/" not in message


def test_a_file_that_is_too_large_is_refused_before_it_is_read(caller: Caller) -> None:
    port = int(caller.host.partition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = f"POST {caller.path}api/image HTTP/1.1\r\nHost: {caller.host}\r\n"
        connection.sendall(f"{head}Content-Length: {1 << 34}\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            sender = threading.Thread(target=_send_zeros, args=(connection,), daemon=True)
            sender.start()
            assert b" 400 " in answer.readline()


def test_an_upload_that_breaks_off_is_no_accident(browsed: Any) -> None:
    process, url, told = start_browse(browsed.samp_lock, browsed.atlas)
    asker = Caller(url)
    head = f"POST {asker.path}api/image HTTP/1.1\r\nHost: {asker.host}\r\nContent-Length: 1000"
    with socket.create_connection(("127.0.0.1", int(asker.host.partition(":")[2]))) as connection:
        connection.sendall(f"{head}\r\n\r\nSIMPLE".encode())
        assert asker.json("api/atlas")
    assert asker.json("api/atlas")
    process.send_signal(signal.SIGINT)
    assert process.ended() == (0, told)


def _send_zeros(connection: socket.socket) -> None:
    try:
        for _ in range(80):
            connection.sendall(bytes(1 << 20))
    except OSError:
        return


def test_strangers_are_refused(caller: Caller) -> None:
    path, port = caller.path, caller.host.partition(":")[2]
    foreign: tuple[dict[str, Any], ...] = (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    )
    for headers in foreign:
        assert caller.raw(path, **headers)[0] == 403
        assert caller.raw(f"{path}api/image", "POST", b"", **headers)[0] == 403
    for stranger in ("/", "/api/atlas", "/wrong/api/atlas", f"{path}../../etc/passwd"):
        assert caller.raw(stranger)[0] == 404
    for escape in ("..%2fserver.py", "%2e%2e/server.py", "api/../../server.py"):
        assert caller.raw(path + escape)[0] == 404
    assert caller.raw(path, Host=f"localhost:{port}")[0] == 200
    status, _, headers = caller.raw(path)
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert caller.raw(f"{path}api/send/selection.fits")[0] == 404  # only by POST


def test_sending_needs_a_hub_and_somebody_who_takes_tables(caller: Caller, browsed: Any) -> None:
    from pyvo.samp import SAMPHubServer, SAMPIntegratedClient

    send = "api/send/selection.fits?where=Z_SPEC:0.1:0.2"
    assert "no such table" in caller.refusal("api/send/passwd", "POST")
    assert caller.refusal(send, "POST") == "no SAMP hub answers on this computer"
    hub = SAMPHubServer(web_profile=False, lockfile=str(browsed.samp_lock), addr="127.0.0.1")
    hub.start()
    receiver = SAMPIntegratedClient(name="tables", addr="127.0.0.1")
    try:
        assert "no program on the SAMP hub" in caller.refusal(send, "POST")
        receiver.connect(hub=hub)
        received: list[dict[str, Any]] = []
        receiver.bind_receive_notification(
            "table.load.fits", lambda key, sender, kind, asked, extra: received.append(asked)
        )
        status, answer, _ = caller.raw(caller.path + send, "POST")
        assert (status, json.loads(answer)) == (200, {"receivers": 1})
        for _ in range(100):
            time.sleep(0.0 if received else 0.05)
        url = received[0]["url"]
        assert url.endswith("/api/selection.fits?where=Z_SPEC:0.1:0.2")
        with urllib.request.urlopen(url, timeout=30) as table:
            assert table.read(9) == b"SIMPLE  ="
    finally:
        if receiver.is_connected:
            receiver.disconnect()
        hub.stop()


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "PIL"])
def test_a_missing_package_is_told_with_what_installs_it(
    package: str, browsed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*photoz-ssl\[browse\]"):
        browse(BrowseConfig(atlas=browsed.atlas), announce=lambda report: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(browsed: Any, number: signal.Signals) -> None:
    process, _, told = start_browse(browsed.samp_lock, browsed.atlas)
    process.send_signal(number)
    assert process.ended() == (0, told)
    assert process.said == ""


def test_a_port_that_is_taken_and_what_is_no_atlas_are_one_sentence(
    caller: Caller, browsed: Any, tmp_path: Path
) -> None:
    port = caller.host.partition(":")[2]
    for arguments, words in (
        ((browsed.atlas, "--port", port), f"the port {port} cannot be used"),
        ((tmp_path / "none.h5",), "there is no atlas"),
        ((browsed.image,), "not a readable atlas"),
    ):
        code, told = Fork(COMMAND_LINE, "browse", *arguments, "--no-open").ended()
        assert code == 1
        assert told.startswith("Error: ")
        assert words in told
        assert "Traceback" not in told
