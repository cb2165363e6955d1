"""``--recipe`` and ``--dry-run``: what wins, what is told, and that nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from photoz_ssl.cli.main import main
from photoz_ssl.config import PretrainConfig
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.spec import ImageSpec
from photoz_ssl.workflows import dry_run

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_main(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run_main


def constants(table: str) -> dict[str, tuple[str, str]]:
    """Name to value and source, of a table on stdout."""
    rows = [line.split("  ", 1) for line in map(str.strip, table.splitlines()) if "  " in line]
    cells = {name: [cell for cell in rest.split("  ") if cell.strip()] for name, rest in rows}
    return {name: (cell[0].strip(), cell[-1].strip()) for name, cell in cells.items()}


def test_a_dry_run_lists_every_constant_with_its_source(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    code, out, err = run(
        "pretrain", tiny_archive, "-o", tmp_path / "run", "--dry-run", "--recipe", "hayat2020",
        *("--batchnorm-groups", 2),
    )  # fmt: skip
    table = constants(out)
    assert code == 0
    assert table["queue_size"] == ("65536", "hayat2020 [field] He et al. 2020 (MoCo), section 4")
    assert table["max_reddening"][1].startswith("hayat2020 [code]")
    assert table["seed"] == ("0", "default")
    assert table["network_parameters"][0] == "23,514,304"
    assert table["batch_size"][0] == "12"
    assert table["batchnorm_groups"] == ("2", "flag")
    assert err.splitlines()[0].startswith("Note: --batchnorm-groups is 2, not 8 as in hayat2020")
    assert "nothing was written" in err
    assert list(tmp_path.iterdir()) == []


def test_a_quiet_dry_run_says_whether_it_would_start(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    options = ("-o", tmp_path / "run", "--encoder", "resnet18-compact", "--dry-run", "--quiet")
    assert run("finetune", tiny_archive, *options) == (0, "", "")
    assert run("finetune", tmp_path / "nothing.h5", *options)[0] == 1


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_where_bfloat16_would_be_faster_it_is_told(
    able: bool, command: str, tiny_archive: Path, tmp_path: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(dry_run, "multiplies_bfloat16", lambda: able)
    options: list[object] = [command, tiny_archive, "-o", tmp_path / "run", "--dry-run"]
    options += ["--device", "cpu", *(["--batchnorm-groups", 2] if command == "pretrain" else [])]
    assert "would make" not in run(*options, "--epochs", 100)[2]
    options += ["--epochs", 5000]
    assert ("--precision bf16 would make training faster" in run(*options)[2]) is able
    for other in (("--precision", "fp32"), ("--recipe", "hayat2020"), ("--resume",)):
        assert "would make" not in run(*options, *other)[2]


def test_what_would_be_faster_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "multiplies_bfloat16", lambda: True)
    config = PretrainConfig(archive=tmp_path / "nothing.h5", output=tmp_path / "run", device="cpu")
    assert dry_run.precision_notices(config) == ()


def test_finetune_lists_the_supervised_baseline(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    code, out, err = run(
        "finetune", tiny_archive, "-o", tmp_path / "run", "--dry-run", "--recipe", "hayat2020"
    )
    table = constants(out)
    assert code == 0
    assert table["learning_rate"] == ("0.004", "hayat2020 [code] the supervised baseline")
    assert table["rate_steps"][0] == "x0.1 at epochs 60 and 90"
    assert table["encoder_rate"][0] == "1"
    assert table["redshift_bins"][0] == "180 over 0 to 0.4"
    assert "Note" not in err


def test_labels_are_blurred_by_their_number(tiny_archive: Path, tmp_path: Path, run: Run) -> None:
    command = ("finetune", tiny_archive, "-o", tmp_path / "run", "--dry-run")
    _, out, _ = run(*command, "--label-fraction", 0.5)
    assert constants(out)["label_blur"] == ("60.54", "default; by the number of labels")
    _, out, _ = run(*command, "--label-blur", 3)
    assert constants(out)["label_blur"] == ("3", "flag")
    _, out, _ = run(*command, "--recipe", "hayat2020")
    assert constants(out)["label_blur"][0] == "0"


@pytest.mark.usefixtures("tiny_preset")
def test_a_run_that_blurs_by_the_number_of_labels_can_be_resumed(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    settings = ("--encoder", "tiny", "--epochs", 1, "--batch-size", 4)
    command = ("finetune", tiny_archive, "-o", tmp_path / "run", *settings)
    assert run(*command)[0] == 0
    assert "label_blur = 48.05" in (tmp_path / "run" / "config.toml").read_text()
    assert run(*command, "--resume", "--dry-run")[0] == 0
    assert run(*command, "--resume")[0] == 0
    code, _, err = run(*command, "--resume", "--label-blur", 3)
    assert code == 1
    assert "label_blur" in err


def test_a_flag_beats_a_file_beats_a_recipe_beats_a_default(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "[finetune]\nrecipe = 'hayat2020'\nepochs = 50\nlearning_rate = 0.1\nmirror = true\n"
    )
    arguments = ("finetune", tiny_archive, "-o", tmp_path / "run", "--dry-run")
    for order in (("--config", path, "--epochs", 30), ("--epochs", 30, "--config", path)):
        code, out, err = run(*arguments, *order)
        table = constants(out)
        assert code == 0
        assert table["epochs"] == ("30", "flag")
        assert table["learning_rate"] == ("0.1", str(path))
        assert table["mirror"] == ("True", str(path))
        assert table["momentum"][1].startswith("hayat2020")
        assert table["label_fraction"] == ("1", "default")
        assert [line.split()[1] for line in err.splitlines() if line.startswith("Note")] == [
            "--epochs",
            "--learning-rate",
            "--mirror",
        ]


def save_encoder(path: Path, preset: str, width: float = 1.0) -> Path:
    config = replace(PRESETS[preset], width=width)
    state = build_encoder(config).state_dict()
    save_checkpoint(path, Checkpoint(kind="encoder", spec=ImageSpec(), encoder=config, state=state))
    return path


def test_the_rate_of_an_encoder_goes_by_the_number_of_labels(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    encoder = save_encoder(tmp_path / "encoder.safetensors", "resnet18-compact", 0.125)
    command = ("finetune", tiny_archive, "-o", tmp_path / "run", "--dry-run")
    _, out, _ = run(*command, "--encoder", encoder)
    assert constants(out)["encoder_rate"] == ("0.1", "default; by the number of labels")
    _, out, _ = run(*command, "--encoder", encoder, "--encoder-rate", 0.5)
    assert constants(out)["encoder_rate"] == ("0.5", "flag")
    _, out, _ = run(*command, "--encoder", "resnet18-compact")
    assert constants(out)["encoder_rate"][0] == "1"


@pytest.mark.parametrize(("width", "notes"), [(1.0, 0), (0.125, 1)])
def test_an_encoder_file_departs_only_if_its_network_does(
    tiny_archive: Path, tmp_path: Path, run: Run, width: float, notes: int
) -> None:
    encoder = save_encoder(tmp_path / "encoder.safetensors", "resnet50", width)
    code, out, err = run(
        "finetune", tiny_archive, "-o", tmp_path / "run", "--dry-run",
        *("--recipe", "hayat2020", "--encoder", encoder),
    )  # fmt: skip
    assert code == 0
    assert constants(out)["encoder_rate"][0] == "0.1"
    assert err.count("Note: --encoder") == notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("no-such.h5",), "there is no archive"),
        (("--encoder", "resnet99"), "neither an encoder file nor a preset"),
        (("--device", "cuda"), "no GPU is visible"),
        (("-o", "occupied"), "exists already"),
        (("-o", "occupied/notes.txt/run"), "is a file"),
        (("no-such.h5", "--device", "cuda"), "no GPU is visible"),
        (("-o", "occupied", "--encoder", "resnet99"), "neither an encoder file nor a preset"),
        (("no-such.h5", "--recipe", "hayat2020", "--encoder", "resnet99"), "resnet99"),
    ],
)
def test_a_dry_run_fails_where_the_run_would(
    tiny_archive: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "notes.txt").write_text("mine")
    archive = () if change[0].endswith(".h5") else (tiny_archive,)
    usual = ("-o", "run", "--encoder", "resnet18-compact")
    for command in (("pretrain", "--batchnorm-groups", "2"), ("finetune",)):
        code, out, err = run(*command, *archive, *usual, "--dry-run", *change)
        assert (code, out) == (1, "")
        assert words in err
        code, _, told = run(*command, *archive, *usual, *change)
        refusal = [line for line in told.splitlines() if not line.startswith("Note: ")]
        assert (code, refusal) == (1, err.splitlines())
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


@pytest.mark.usefixtures("tiny_preset")
def test_a_run_says_where_it_is_no_longer_the_recipes(
    tiny_archive: Path, tmp_path: Path, run: Run
) -> None:
    code, out, err = run(
        "finetune", tiny_archive, "-o", tmp_path / "run", "--recipe", "hayat2020",
        *("--encoder", "tiny", "--epochs", 1),
    )  # fmt: skip
    assert (code, out) == (0, "")
    notes = [line for line in err.splitlines() if line.startswith("Note")]
    assert len(notes) == 2
    assert "--encoder is tiny, not resnet50" in notes[-1] + notes[0]
    assert "recipe" in (tmp_path / "run" / "config.toml").read_text()


TWO = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def one_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As torchrun starts the first of two processes."""
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("command", [("pretrain", "--batchnorm-groups", 1), ("finetune",)])
def test_of_several_processes_one_does_the_dry_run(
    command: tuple[object, ...],
    tiny_archive: Path,
    tmp_path: Path,
    run: Run,
    one_of_two: pytest.MonkeyPatch,
) -> None:
    usual = (*command, tiny_archive, "-o", tmp_path / "run", "--encoder", "resnet18-compact")
    usual += ("--dry-run", "--device", "cpu")
    code, out, _ = run(*usual, "--batch-size", 10)
    assert (code, constants(out)["batch_size"][0]) == (0, "10")
    assert constants(run(*usual, "--batch-size", 14)[1])["batch_size"][0] == "12"
    code, out, err = run(*usual, "--batch-size", 5)
    assert (code, out) == (1, "")
    assert "--batch-size 5 cannot be split evenly over 2 processes" in err
    one_of_two.setenv("RANK", "1")
    assert run(*usual, "--batch-size", 10) == (0, "", "")


def test_a_dry_run_knows_that_fewer_labels_than_processes_do_not_do(
    tiny_archive: Path, tmp_path: Path, run: Run, one_of_two: pytest.MonkeyPatch
) -> None:
    options = ("-o", tmp_path / "run", "--encoder", "resnet18-compact", "--label-fraction", 0.01)
    code, _, err = run("finetune", tiny_archive, *options, "--dry-run", "--device", "cpu")
    assert code == 1
    assert "has 1 label to train on, fewer than the 2 processes" in err


def test_a_dry_run_asks_for_the_extra_that_calibrates(
    tiny_archive: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoz_ssl.extras.is_installed", lambda package: package != "nncf")
    options = ("-o", tmp_path / "run", "--encoder", "resnet18-compact", "--dry-run")
    assert run("finetune", tiny_archive, *options)[0] == 0
    code, out, err = run("finetune", tiny_archive, *options, "--calibrate")
    assert (code, out) == (1, "")
    assert "nncf" in err
