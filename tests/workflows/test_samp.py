"""``predict --samp``, with a real hub."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import ConfigError, PhotozError
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.samp import send_table
from tests.processes import wait_until

samp = pytest.importorskip("pyvo.samp", reason="pyvo (extra [samp]) is not installed")


@pytest.fixture(autouse=True)
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a hub is looked for: not that of whoever runs the tests."""
    path = tmp_path / "samp.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{path.as_uri()}")
    return path


@pytest.fixture
def received(lock: Path) -> Iterator[list[dict[str, Any]]]:
    """What a program on a hub is asked to load."""
    hub = samp.SAMPHubServer(web_profile=False, lockfile=str(lock), addr="127.0.0.1")
    hub.start()
    client = samp.SAMPIntegratedClient(name="tables", addr="127.0.0.1")
    asked: list[dict[str, Any]] = []
    try:
        client.connect(hub=hub)
        for message in ("table.load.fits", "table.load.votable"):
            client.bind_receive_notification(
                message, lambda key, sender, kind, params, extra: asked.append(params)
            )
        yield asked
    finally:
        client.disconnect()
        hub.stop()


@pytest.mark.parametrize(("name", "start"), [("z.fits", b"SIMPLE  ="), ("z.vot", b"<?xml ver")])
def test_the_finished_table_is_sent(
    name: str, start: bytes, received: list[dict[str, Any]], tiny_archive: Path, tmp_path: Path
) -> None:
    config = PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / name), samp=True)
    report = predict(config)
    assert report.notices[-1].endswith(f"{name} was sent to 1 program by SAMP")
    wait_until(lambda: received)
    with urllib.request.urlopen(received[0]["url"], timeout=30) as table:
        assert table.read(9) == start


@contextmanager
def running(*command: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program, ended at the end; what it says on stdout can be read."""
    program = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **options,
    )
    with program:
        try:
            yield program
        finally:
            program.terminate()


@pytest.fixture
def topcat(lock: Path, tmp_path: Path) -> Iterator[Any]:
    """A client of TOPCAT's own hub, to which TOPCAT has said that it takes tables."""
    for program in ("topcat", "Xvfb"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    client = samp.SAMPIntegratedClient(name="asker", addr="127.0.0.1")
    with ExitStack() as ended:
        screen = ended.enter_context(running("Xvfb", "-displayfd", 1))
        assert screen.stdout is not None
        display = f":{screen.stdout.readline().strip()}"
        environ = {"DISPLAY": display, "JAVA_TOOL_OPTIONS": f"-Duser.home={tmp_path}"}
        ended.enter_context(running("topcat", "-hub", env=os.environ | environ))
        wait_until(lambda: lock.exists() and "samp.hub.xmlrpc.url" in lock.read_text())
        client.connect()
        ended.callback(client.disconnect)
        wait_until(lambda: client.get_subscribed_clients("table.load.fits"))
        yield client


def test_topcat_loads_the_table_that_is_sent(
    topcat: Any, tiny_archive: Path, tmp_path: Path
) -> None:
    output = tmp_path / "z.fits"
    [program] = topcat.get_subscribed_clients("table.load.fits")

    def shows(row: int) -> bool:
        params = {"url": output.as_uri(), "table-id": output.as_uri(), "row": str(row)}
        message = {"samp.mtype": "table.highlight.row", "samp.params": params}
        return bool(topcat.call_and_wait(program, message, "30")["samp.status"] == "samp.ok")

    assert not shows(0)
    report = predict(PredictConfig(catalog=str(tiny_archive), output=str(output), samp=True))
    assert report.notices[-1].endswith("was sent to 1 program by SAMP")
    wait_until(lambda: shows(0))
    assert shows(report.n_rows - 1)
    assert not shows(report.n_rows)


def test_without_a_hub_the_table_is_there_all_the_same(tiny_archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "z.fits"
    report = predict(PredictConfig(catalog=str(tiny_archive), output=str(output), samp=True))
    assert "was not sent: no SAMP hub answers" in report.notices[-1]
    assert output.exists()


@contextmanager
def served(lock: Path, answer: bytes | None) -> Iterator[None]:
    """What is no hub, at the address that the lock file tells; None for no answer at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        lock.write_text(f"samp.secret=none\nsamp.hub.xmlrpc.url={address}\n")
        thread = threading.Thread(target=answer_once, args=(server, answer))
        if answer is not None:
            thread.start()
        yield
    if answer is not None:
        thread.join()


def answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(1 << 16)
        connection.sendall(answer)


@pytest.mark.parametrize(
    "answer", [None, b"", b"hello\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n<html>"]
)
def test_a_hub_that_does_not_answer_as_one_is_not_waited_for(
    answer: bytes | None, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoz_ssl.workflows.samp.SECONDS_TO_ANSWER", 0.5)
    with served(lock, answer), pytest.raises(PhotozError, match="no SAMP hub answers"):
        send_table("file:///z.fits", "z.fits")
    assert socket.getdefaulttimeout() is None


def test_a_damaged_lock_file_is_no_hub(lock: Path) -> None:
    lock.write_bytes(b"\xff\xfe")
    with pytest.raises(PhotozError, match="no SAMP hub answers"):
        send_table("file:///z.fits", "z.fits")


def test_only_a_file_can_be_sent() -> None:
    for options in ({"output": "-"}, {"output": "z.fits", "shard": "1/2"}):
        with pytest.raises(ConfigError, match="--samp sends a table that is a file"):
            PredictConfig(catalog="cat.fits", samp=True, **options)  # type: ignore[arg-type]
