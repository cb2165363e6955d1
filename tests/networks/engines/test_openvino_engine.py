"""OpenVINO: what PyTorch computes, from the network or from the cache."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, nn

from photoz_ssl.networks import runtimes
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.encoder import PRESETS, EncoderConfig, build_encoder
from photoz_ssl.networks.engines import openvino_engine
from photoz_ssl.networks.engines.openvino_engine import OpenVinoEngine
from photoz_ssl.networks.engines.openvino_runner import computes_in_bfloat16
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import IMAGES_WORTH_CONVERTING, open_runtime
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from tests.processes import Fork

WORTH = IMAGES_WORTH_CONVERTING["resnet18"]
TINY = replace(PRESETS["resnet18-compact"], width=0.125)
GRID = RedshiftGrid()

pytestmark = pytest.mark.skipif(
    not openvino_engine.has_openvino(), reason="OpenVINO (extra [cpu]) is not installed"
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "photoz-ssl" / "openvino"


def test_nothing_is_told_to_its_makers() -> None:
    process = Fork(
        "import sys; from photoz_ssl.networks.engines.openvino_runner import import_openvino\n"
        "assert 'openvino' not in sys.modules\n"
        "import_openvino().convert_model\n"
        "print(sys.modules['openvino_telemetry'])"
    )
    assert process.ended() == (0, "")
    assert process.said == "None\n"


def tiny_model(encoder: EncoderConfig = TINY) -> Checkpoint:
    network = RedshiftNetwork(build_encoder(encoder, seed=1), GRID.n_bins, seed=1)
    return Checkpoint(
        kind="photoz", spec=ImageSpec(), encoder=encoder, state=network.state_dict(), grid=GRID
    )


def small_network() -> nn.Module:
    """Of layers so few that it is converted at once; its file has 113 kB."""
    torch.manual_seed(0)
    convolutions = nn.Conv2d(5, 32, 7, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 3)
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def stamps(n: int) -> torch.Tensor:
    return torch.randn(n, 5, 64, 64, generator=Generator().manual_seed(3))


@pytest.mark.parametrize("apertures", [None, (2.5, 8.0)], ids=["maps", "photometry"])
def test_redshifts_and_representations_are_those_of_pytorch(
    apertures: tuple[float, ...] | None,
) -> None:
    model = tiny_model(replace(TINY, apertures=apertures))
    eager = open_runtime(model, "cpu")
    fast = open_runtime(model, "cpu", "abc", WORTH)
    assert (eager.name, fast.name) == ("PyTorch", "OpenVINO")
    for n in (1, 7):  # the batch may change
        mean, other = (runtime.pdf_later(stamps(n))() @ GRID.centres for runtime in (eager, fast))
        np.testing.assert_allclose(other, mean, rtol=0, atol=1e-5)
        one, two = (runtime.represent_later(stamps(n))() for runtime in (eager, fast))
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)


LEAVING = """
import sys
from dataclasses import replace
import torch
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines.openvino_engine import OpenVinoEngine
tiny = replace(PRESETS["resnet18-compact"], width=0.125)
engine = OpenVinoEngine(build_encoder(tiny).eval(), "one")
engine([torch.zeros(500, 5, 64, 64)] * 2)
sys.exit(3)
"""


def test_a_program_may_end_before_its_network_has() -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (3, b"")


def test_work_that_is_begun_at_once_does_not_get_mixed_up() -> None:
    runtime = open_runtime(tiny_model(), "cpu", "abc", WORTH)
    images = stamps(40)
    whole = runtime.represent_later(images)()
    parts = [images[start : start + 8] for start in range(0, 40, 8)]
    begun = [runtime.represent_later(iter([part[:4], part[4:]])) for part in parts]
    found = [outcome() for outcome in reversed(begun)]
    np.testing.assert_allclose(np.concatenate(found[::-1]), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("key", "n_images", "name"),
    [("", 10**6, "PyTorch"), ("abc", 10, "PyTorch"), ("abc", None, "OpenVINO")],
)
def test_openvino_runs_many_images_of_a_model_that_has_a_hash(
    key: str, n_images: int | None, name: str
) -> None:
    assert open_runtime(tiny_model(), "cpu", key, n_images).name == name


def test_without_the_extra_pytorch_runs_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "has_openvino", lambda: False)
    assert open_runtime(tiny_model(), "cpu", "abc", 10**6).name == "PyTorch"


@pytest.mark.parametrize(
    ("capable", "name"), [(True, "OpenVINO in bfloat16"), (False, "PyTorch in bfloat16")]
)
def test_openvino_computes_in_bfloat16_where_the_cpu_does(
    capable: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "computes_in_bfloat16", lambda: capable)
    assert open_runtime(tiny_model(), "cpu", "abc", WORTH, "bf16").name == name


@pytest.mark.parametrize("apertures", [None, (2.5, 8.0)], ids=["maps", "photometry"])
def test_bfloat16_is_near_float32_and_the_same_in_any_batch(
    apertures: tuple[float, ...] | None,
) -> None:
    if not computes_in_bfloat16():
        pytest.skip("this CPU does not compute in bfloat16")
    model, images = tiny_model(replace(TINY, apertures=apertures)), stamps(24)
    precise, reduced = (open_runtime(model, "cpu", "abc", WORTH, kind) for kind in ("fp32", "bf16"))
    mean, other = (runtime.pdf_later(images)() @ GRID.centres for runtime in (precise, reduced))
    np.testing.assert_allclose(other, mean, rtol=0, atol=2e-3)
    assert np.abs(other - mean).max() > 1e-6  # it is not float32 by another name
    whole = reduced.represent_later(images)()
    for size in (1, 2, 11, 23):
        parts = reduced.represent_later(iter(torch.split(images, size)))()
        np.testing.assert_array_equal(parts, whole)


class Untraceable(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the network was converted again")


def test_a_network_is_converted_once(cache: Path) -> None:
    network = small_network()
    first = OpenVinoEngine(network, "one")([stamps(2)])()
    assert [path.suffix for path in cache.iterdir()] == [".network"]
    np.testing.assert_array_equal(OpenVinoEngine(Untraceable(), "one")([stamps(2)])(), first)


def test_another_version_converts_it_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("0.1", "0.2", "0.2"):
        monkeypatch.setattr(openvino_engine, "__version__", version)
        OpenVinoEngine(small_network(), "one")([stamps(2)])()
    assert len([*cache.iterdir()]) == 2


def with_zeros(content: bytes) -> bytes:
    return content[:-4000] + bytes(4000)


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:100], with_zeros, lambda _: b"x" * 999]
)
def test_a_damaged_cache_is_passed_over(cache: Path, damage: Callable[[bytes], bytes]) -> None:
    network = small_network()
    first = OpenVinoEngine(network, "one")([stamps(2)])()
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(OpenVinoEngine(network, "one")([stamps(2)])(), first)
    np.testing.assert_array_equal(OpenVinoEngine(Untraceable(), "one")([stamps(2)])(), first)


@pytest.mark.parametrize("most_bytes", [0, 1000, 60_000])
def test_a_full_disk_is_done_without(
    most_bytes: int, cache: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    network = small_network()
    expected = OpenVinoEngine(network, "other")([stamps(2)])()
    with full_disk(most_bytes):
        found = OpenVinoEngine(network, "one")([stamps(2)])()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert [path.name.partition("-")[0] for path in cache.iterdir()] == ["other"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "photoz-ssl").write_text("in the way")
    assert OpenVinoEngine(small_network(), "one")([stamps(2)])().shape == (2, 64)
