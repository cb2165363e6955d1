"""What an optional dependency lacks is said, whatever it is."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

import photoz_ssl
from photoz_ssl.errors import MissingExtraError
from photoz_ssl.extras import fault_of_version, import_extra, is_installed, require_extra
from photoz_ssl.networks.engines.openvino_engine import has_openvino


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


@pytest.fixture
def old_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages are of version 0.0.1."""
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1")


def packages_of_extras() -> set[str]:
    """Those that the program imports by name."""
    trees = (ast.parse(path.read_text()) for path in Path(photoz_ssl.__file__).parent.rglob("*.py"))
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [
        call.args[0]
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id in {"import_extra", "require_extra"}
    ]
    modules = (node.value for node in named if isinstance(node, ast.Constant))
    return {str(module).partition(".")[0] for module in modules}


@pytest.mark.usefixtures("old_versions")
def test_of_every_package_it_is_known_how_old_it_may_be() -> None:
    packages, come_with_others = packages_of_extras(), {"dask", "hats"}
    assert {"faiss", "lsdb", "matplotlib", "sklearn"} | come_with_others < packages
    assert {package for package in packages if not fault_of_version(package)} == come_with_others


@pytest.mark.usefixtures("old_versions")
@pytest.mark.parametrize(
    ("module", "extra"),
    [("lsdb", "dask"), ("faiss", "search"), ("sklearn.manifold", "browse")],
)
def test_what_is_too_old_is_told_with_both_versions(
    module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = module.partition(".")[0]
    monkeypatch.setitem(sys.modules, package, sys)  # whether or not it is installed here
    told = rf"'{package}', which is of version 0\.0\.1: >=[0-9.]+ is needed; .*--upgrade '.*{extra}"
    for refused in (require_extra, import_extra):
        with pytest.raises(MissingExtraError, match=told):
            refused(module, extra=extra, purpose="working")


@pytest.mark.usefixtures("old_versions")
def test_a_network_does_not_run_by_an_openvino_that_is_too_old(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", sys)
    assert not has_openvino()


@pytest.mark.parametrize("version", ["unknown", None])
def test_a_package_whose_version_is_not_known_is_tried(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version_of(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(metadata, "version", version_of)
    monkeypatch.setitem(sys.modules, "lsdb", sys)
    assert import_extra("lsdb", extra="dask", purpose="working") is sys
