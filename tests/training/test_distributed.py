"""Several processes train as one does: who they are, what each sees, and how they end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from photoz_ssl.config import PretrainConfig
from photoz_ssl.errors import ArchiveError, ConfigError, PeerError
from photoz_ssl.networks.checkpoint import load_checkpoint, shipped_model_path
from photoz_ssl.networks.ranks import ALONE, World
from photoz_ssl.training.distributed import Launch, join_world, launched, require_equal_parts
from photoz_ssl.workflows.pretrain import usable_batch_size
from tests.processes import Fork, wait_until

TRAINING = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from photoz_ssl.config import PretrainConfig
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.networks.moco import MomentumContrast
from photoz_ssl.training import loop
from photoz_ssl.workflows import pretrain

archive, output, saved = map(Path, sys.argv[1:])
PRESETS["tiny"] = replace(PRESETS["resnet18-compact"], width=0.125)
seen = {"rows": [], "loss": []}

def noting(archive, batches, device, read_ahead=loop.read_ahead):
    return read_ahead(archive, (seen["rows"].append(rows) or rows for rows in batches), device)

class Queries(MomentumContrast):  # which alone would see other BatchNorm groups
    def train(self, mode=True):
        super().train(mode)
        self.query_network.eval()
        seen["network"] = self
        return self

def progress(stage, done, total, /, loss, **figures):
    seen["loss"].append(loss)

loop.read_ahead, pretrain.MomentumContrast = noting, Queries
config = PretrainConfig(archive=archive, output=output, encoder="tiny", device="cpu", epochs=2,
                        batch_size=4, batchnorm_groups=2, queue_size=32)
pretrain.pretrain(config, progress=progress)
seen["network"] = seen["network"].state_dict()
seen["rows"] = [rows.tolist() for rows in seen["rows"]]
torch.save(seen, saved)
"""

LEAVING = """
import weakref
import torch.distributed as dist
from photoz_ssl.training.distributed import join_world

with join_world("cpu"):
    group = weakref.ref(dist.group.WORLD)
print("kept" if group() else "gone", dist.is_initialized())
"""

MEETING = """
import os, time
import torch.distributed as dist
from photoz_ssl.training.distributed import join_world

meet = dist.init_process_group

def slowly(*arguments, **options):
    meet(*arguments, **options)
    if os.environ["RANK"] == "1":
        time.sleep(1)
        print(time.monotonic())

dist.init_process_group = slowly
with join_world("cpu"):
    if os.environ["RANK"] == "0":
        print(time.monotonic())
"""

COMMAND_LINE = """
import sys
from dataclasses import replace
from photoz_ssl.cli import main
from photoz_ssl.networks.encoder import PRESETS

PRESETS["tiny"] = replace(PRESETS["resnet18-compact"], width=0.125)
main(sys.argv[1:])
"""

LOOKING_SELDOM = f"""
from photoz_ssl.training import loop

class Teller(loop._Teller):
    def __init__(self, plan, first, progress):
        super().__init__(plan, first, progress)
        self._pause = 1000.0 if plan.world.leads else 0.0

loop._Teller = Teller
{COMMAND_LINE}
"""

WITHOUT_NNCF = f"""
from photoz_ssl import extras

extras.is_installed = lambda package: package != "nncf"
{COMMAND_LINE}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_two(program: str, *arguments: object) -> list[Fork]:
    """Two processes as torchrun would start them; ``{rank}`` in an argument is the rank."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": 2}
    return [
        Fork(
            program,
            *(str(argument).format(rank=rank) for argument in arguments),
            environ={"RANK": rank, **meeting},
        )
        for rank in (0, 1)
    ]


def ended(*processes: Fork) -> list[tuple[int, str]]:
    """Exit codes, and what was told on stderr."""
    return [process.ended() for process in processes]


@pytest.fixture(scope="module")
def runs(
    tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What one process saw of a pretraining, and what each of two saw."""
    folder = tmp_path_factory.mktemp("runs")
    one = Fork(TRAINING, tiny_archive, folder / "one", folder / "one.pt")
    two = start_two(TRAINING, tiny_archive, folder / "two", folder / "two{rank}.pt")
    for code, told in ended(one, *two):
        assert (code, told) == (0, "")
    saved = [torch.load(folder / f"{name}.pt") for name in ("one", "two0", "two1")]
    return saved[0], saved[1:]


Runs = tuple[dict[str, Any], list[dict[str, Any]]]


def test_the_order_of_the_data_is_that_of_one_process(runs: Runs) -> None:
    one, two = runs
    parts = zip(*(run["rows"] for run in two), strict=True)
    assert [first + second for first, second in parts] == one["rows"]
    assert len(one["rows"]) == 6


def test_the_loss_is_that_of_one_process(runs: Runs) -> None:
    one, two = runs
    for run in two:
        np.testing.assert_allclose(run["loss"], one["loss"], rtol=1e-5)


def test_weights_keys_and_queue_are_those_of_one_process(runs: Runs) -> None:
    one, two = runs
    for name, expected in one["network"].items():
        if "running" in name or "num_batches" in name:
            continue  # each process has its own, of its part of the keys
        assert torch.equal(two[0]["network"][name], two[1]["network"][name]), name
        torch.testing.assert_close(two[0]["network"][name], expected, rtol=0, atol=1e-6)


def small(command: str, archive: object, output: Path, *more: object) -> list[object]:
    options = [command, archive, "-o", output, "--encoder", "tiny", "--device", "cpu"]
    return [*options, "--batch-size", 4, "--epochs", 4, *more]


def test_torchrun_finetunes_as_one_process_does(tiny_archive: Path, tmp_path: Path) -> None:
    """With a frozen encoder, whose BatchNorm does not look at batches."""
    encoder = shipped_model_path("photoz")
    options = ["finetune", tiny_archive, "--encoder", encoder, "--encoder-rate", 0, "--epochs", 2]
    options += ["--batch-size", 4, "--device", "cpu", "-o"]
    one = Fork("from photoz_ssl.cli import main; main()", *options, tmp_path / "one")
    assert ended(one)[0][0] == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--master-port", str(free_port()), "-m", "photoz_ssl"]
    done = subprocess.run(
        [*torchrun, *map(str, options), str(tmp_path / "two")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("fine-tuned 2 epochs") == 1
    models = [load_checkpoint(tmp_path / run / "photoz.safetensors") for run in ("one", "two")]
    for name, weights in models[0].state.items():
        torch.testing.assert_close(models[1].state[name], weights, rtol=0, atol=1e-5)
    lines = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("one", "two")]
    for first, second in zip(*lines, strict=True):
        assert json.loads(second) == pytest.approx(json.loads(first), rel=1e-4)


def test_nobody_goes_on_before_all_have_met() -> None:
    """They meet at the first of them: if it ended early, one that is slow would find nobody."""
    processes = start_two(MEETING)
    assert ended(*processes) == [(0, "")] * 2
    first, slow = (float(process.said) for process in processes)
    assert slow < first


def test_what_is_left_is_not_taken_apart_by_what_averaged_gradients() -> None:
    """Which would wait, with Python's lock held, for a thread that may wait for that lock."""
    processes = start_two(LEAVING)
    assert ended(*processes) == [(0, "")] * 2
    assert [process.said for process in processes] == ["kept False\n"] * 2


def test_a_signal_to_one_process_stops_all_at_the_same_step(
    tiny_archive: Path, tmp_path: Path
) -> None:
    options = ["--queue-size", 16, "--batchnorm-groups", 2, "--epochs", 12]
    whole, cut = (
        small("pretrain", tiny_archive, tmp_path / name, *options) for name in ("whole", "cut")
    )
    assert [code for code, _ in ended(*start_two(COMMAND_LINE, *whole))] == [0, 0]
    processes = start_two(COMMAND_LINE, *cut)
    wait_until((tmp_path / "cut" / "metrics.jsonl").exists)
    processes[1].send_signal(signal.SIGTERM)
    leading, other = ended(*processes)
    assert leading[0] == other[0] == 0
    assert "stopped after step " in leading[1]
    assert other[1] == ""
    assert not (tmp_path / "cut" / "encoder.safetensors").exists()
    assert [code for code, _ in ended(*start_two(COMMAND_LINE, *cut, "--resume"))] == [0, 0]
    models = [(tmp_path / run / "encoder.safetensors").read_bytes() for run in ("whole", "cut")]
    assert models[0] == models[1]


def test_a_killed_process_ends_the_other_in_a_sentence(tiny_archive: Path, tmp_path: Path) -> None:
    processes = start_two(
        COMMAND_LINE, *small("finetune", tiny_archive, tmp_path, "--epochs", 10_000)
    )
    wait_until((tmp_path / "state.pt").exists)
    processes[1].kill()
    code, told = ended(*processes)[0]
    assert code == 1
    assert "Error: process 0 of 2 lost the others.\nHint: " in told
    assert "--resume" in told
    assert "Traceback" not in told


def test_an_error_on_one_process_ends_both_and_is_told_once(
    tiny_archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "0.h5").symlink_to(tiny_archive)
    options = small("finetune", tmp_path / "{rank}.h5", tmp_path / "run")
    first, second = ended(*start_two(COMMAND_LINE, *options))
    assert first == (1, "")
    assert second[0] == 1
    assert second[1].startswith("Error: process 1 of 2 on ")
    assert f"there is no archive {tmp_path / '1.h5'}.\n" in second[1]


def test_an_extra_that_is_missing_on_all_is_told_once(tiny_archive: Path, tmp_path: Path) -> None:
    options = small("finetune", tiny_archive, tmp_path / "run", "--calibrate")
    first, second = ended(*start_two(WITHOUT_NNCF, *options))
    assert first[0] == 1
    assert "nncf" in first[1]
    assert second == (1, "")


def test_processes_with_different_options_are_told_so(tiny_archive: Path, tmp_path: Path) -> None:
    options = small("finetune", tiny_archive, tmp_path / "run", "--learning-rate", "0.{rank}1")
    told = ended(*start_two(COMMAND_LINE, *options))
    assert [code for code, _ in told] == [1, 1]
    assert "the processes do not have the same options" in told[0][1]
    assert "start all of them by one command" in told[0][1]


def test_a_loss_that_one_process_looks_at_ends_both(tiny_archive: Path, tmp_path: Path) -> None:
    """With GPUs each looks five times a second, by its own clock."""
    options = small("finetune", tiny_archive, tmp_path / "run", "--learning-rate", "1e30")
    (code, told), second = ended(*start_two(LOOKING_SELDOM, *options))
    assert code == 1
    assert "no number any more after step" in told
    assert second == (1, "")


def test_a_batch_that_does_not_split_evenly_is_refused() -> None:
    require_equal_parts(256, 8)
    with pytest.raises(ConfigError, match="--batch-size 256 cannot be split evenly") as refusal:
        require_equal_parts(256, 6)
    assert "a multiple of 6" in refusal.value.hint


def test_groups_and_processes_divide_the_batch(tmp_path: Path) -> None:
    config = PretrainConfig(archive=tmp_path, output=tmp_path, batchnorm_groups=8)
    assert usable_batch_size(config, 1000) == usable_batch_size(config, 1000, 4) == 256
    assert usable_batch_size(config, 100) == 96
    assert usable_batch_size(config, 100, 16) == 96
    with pytest.raises(ArchiveError, match="16 BatchNorm groups on 16 processes"):
        usable_batch_size(config, 31, 16)
    with pytest.raises(ArchiveError, match="has no usable galaxy to train on") as refusal:
        usable_batch_size(config, 0)
    assert "--split" in refusal.value.hint


def test_who_is_launched_by_torchrun_and_by_srun() -> None:
    torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    torchrun |= {"MASTER_ADDR": "host", "MASTER_PORT": "29500"}
    srun = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "77"}
    nodes = {"SLURM_STEP_NODELIST": "gpu[003-005,7],login1", "SLURM_STEP_ID": "2"}
    assert launched({}) == Launch()
    assert launched(torchrun) == Launch(3, 8, 1, "env://")
    assert launched(torchrun | srun) == Launch(3, 8, 1, "env://")
    assert launched(srun | nodes) == Launch(5, 8, 1, "tcp://gpu003:22389")
    named = {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}
    assert launched(srun | nodes | named) == Launch(5, 8, 1, "tcp://here:1234")
    # A batch script and a shell of salloc know the number of tasks, and are none of them.
    assert launched(srun) == launched(srun | {"ENVIRONMENT": "BATCH"}) == Launch()
    assert launched(srun | nodes | {"ENVIRONMENT": "BATCH"}).size == 8
    rack = nodes | {"SLURM_STEP_NODELIST": "rack1n[01-20]x"}
    assert launched(srun | rack).meeting.startswith("tcp://rack1n01x:")


def test_a_node_without_an_address_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*where: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name, value in {"PROCID": "0", "NTASKS": "2", "LOCALID": "0", "NODELIST": "n1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_STEP_NODELIST", "n[1-2]")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(ConfigError, match="to meet on n1") as refusal, join_world("cpu"):
        raise AssertionError("met nobody")
    assert "MASTER_ADDR" in refusal.value.hint


WAITING = """
from photoz_ssl.cli.signals import stop_on_signals
from photoz_ssl.training import distributed
distributed.SECONDS_UNTOLD = 0.2
with stop_on_signals(), distributed.join_world("cpu"):
    raise SystemExit("met somebody")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_one_that_waits_for_others_says_so_and_can_be_ended(number: signal.Signals) -> None:
    environ = {f"SLURM_{name}": "0" for name in ("PROCID", "LOCALID", "STEP_ID")}
    environ |= {"SLURM_NTASKS": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    waiting = Fork(WAITING, environ=environ)
    while "waits" not in waiting.told:
        assert waiting.runs, waiting.told
        time.sleep(0.05)
    assert "process 0 of 2 waits at 127.0.0.1:" in waiting.told
    waiting.send_signal(number)
    assert waiting.ended()[0] == -number


def test_one_process_is_a_world_that_does_nothing() -> None:
    tensor = torch.arange(6)
    assert ALONE.leads
    assert ALONE.gather(tensor) is tensor
    assert torch.equal(tensor[ALONE.part(6)], tensor)
    assert ALONE.any(False, True) == (False, True)
    assert ALONE.agree(3, 4)
    with pytest.raises(KeyError), ALONE.together():
        raise KeyError
    with pytest.raises(RuntimeError), ALONE.peers():
        raise RuntimeError
    with join_world("cpu") as world:
        assert world == ALONE


def test_a_gpu_that_fails_is_no_lost_process() -> None:
    world = World(0, 2, torch.device("cuda", 0))
    with pytest.raises(RuntimeError, match="device-side assert"), world.peers():
        raise RuntimeError("CUDA error: device-side assert triggered")
    with pytest.raises(PeerError, match="lost the others"), world.peers():
        raise dist.DistBackendError("NCCL communicator was aborted on rank 0")


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch(size: int) -> None:
    batch = np.arange(32)
    parts = [batch[World(rank, size).part(32)] for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)
