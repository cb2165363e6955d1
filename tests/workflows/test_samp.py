"""``predict --samp``, with a real hub."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import ConfigError
from photoz_ssl.workflows.predict import predict

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
    for _ in range(100):
        time.sleep(0.0 if received else 0.05)
    with urllib.request.urlopen(received[0]["url"], timeout=30) as table:
        assert table.read(9) == start


def test_without_a_hub_the_table_is_there_all_the_same(tiny_archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "z.fits"
    report = predict(PredictConfig(catalog=str(tiny_archive), output=str(output), samp=True))
    assert "was not sent: no SAMP hub runs" in report.notices[-1]
    assert output.exists()


def test_only_a_file_can_be_sent() -> None:
    for options in ({"output": "-"}, {"output": "z.fits", "shard": "1/2"}):
        with pytest.raises(ConfigError, match="--samp sends a table that is a file"):
            PredictConfig(catalog="cat.fits", samp=True, **options)  # type: ignore[arg-type]
