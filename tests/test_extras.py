"""What an optional dependency lacks is said, whatever it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from photoz_ssl.errors import MissingExtraError
from photoz_ssl.extras import import_extra, is_installed, require_extra


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that is there, and whose import fails."""
    (tmp_path / "broken_extra.py").write_text("raise ImportError('numpy.core\\n is another')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "broken_extra"


def test_what_is_installed_is_imported() -> None:
    assert import_extra("json.decoder", extra="plot", purpose="reading").__name__ == "json.decoder"
    assert is_installed("json")


def test_what_is_not_installed_is_told_before_and_when_it_is_needed() -> None:
    for refused in (require_extra, import_extra):
        with pytest.raises(MissingExtraError, match=r"not installed.*photoz-ssl\[plot\]"):
            refused("no_such_package.part", extra="plot", purpose="drawing")


def test_what_was_hidden_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json", None)
    assert not is_installed("json")


def test_what_cannot_be_imported_is_told_with_its_reason(broken: str) -> None:
    require_extra(broken, extra="search", purpose="searching")
    told = r"cannot be imported: numpy.core is another; .*--upgrade 'photoz-ssl\[search\]'"
    with pytest.raises(MissingExtraError, match=told):
        import_extra(broken, extra="search", purpose="searching")


def test_a_part_that_an_older_package_lacks_is_told() -> None:
    with pytest.raises(MissingExtraError, match=r"cannot be imported: No module named 'json\.no'"):
        import_extra("json.no", extra="cpu", purpose="running")
