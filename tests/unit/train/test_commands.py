"""The workstation's commands on a few small people: files, figures, refusals."""

import json
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError, DoorError
from train.cli import COMMANDS
from train.data.datasets import read_folder
from train.data.framing import align_pictures
from train.errors import DataSetError
from train.fitting.protocols import best_boundary, precision_of
from train.measuring.evaluate import verify
from train.measuring.figures import loss_curves
from train.measuring.report import Section, write_report

PEOPLE = 6


def janus(*words):
    """Run one of train's commands as `janus` does; return its exit code."""
    command = next(each for each in COMMANDS if each.name == words[0])
    parser = ArgumentParser()
    command.add_arguments(parser)
    return command(parser.parse_args([str(each) for each in words[1:]]))


@pytest.fixture(scope="module")
def att(tmp_path_factory):
    """An AT&T tree of six people, ten noisy pictures of a pattern each."""
    directory = tmp_path_factory.mktemp("att")
    rng = np.random.default_rng(0)
    for person in range(1, PEOPLE + 1):
        pattern = cv2.resize(rng.integers(0, 255, (5, 4), np.uint8), (92, 112))
        for number in range(1, 11):
            noisy = np.clip(pattern + rng.normal(0, 10, (112, 92)), 0, 255).astype(np.uint8)
            path = directory / f"s{person}" / f"{number}.pgm"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), noisy)
    return directory


@pytest.fixture(scope="module")
def run(att, tmp_path_factory):
    """A run of the recipe `att`, small."""
    out = tmp_path_factory.mktemp("run")
    settings = ("pairs_each=20", "epochs=3", "tested=2", "frames=whole", "batch=64")
    overrides = [word for each in settings for word in ("--set", each)]
    assert janus("train", "--recipe", "att", "--data", att, "--out", out, *overrides) == 0
    return out


@pytest.mark.tf
def test_train_leaves_encoder_recipe_history_metrics_and_report(run):
    assert {"encoder.keras", "recipe.json", "history.jsonl", "metrics.json", "report.html"} <= {
        each.name for each in run.iterdir()
    }
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["held_out"] == ["s5", "s6"]
    assert metrics["honest"]["subjects"] == 2
    assert set(metrics["own_protocol"]) >= {"validation loss", "precision at distance 0.5"}
    assert json.loads((run / "recipe.json").read_text())["epochs"] == 3


@pytest.mark.tf
def test_train_prints_the_articles_figures_beside_ours_and_then_the_honest_ones(
    att, run, tmp_path, capsys
):
    shutil.copytree(run, tmp_path / "run")
    settings = ("pairs_each=20", "epochs=3", "tested=2", "frames=whole", "batch=64")
    overrides = [word for each in settings for word in ("--set", each)]
    words = ("train", "--recipe", "att", "--data", att, "--out", tmp_path / "run", "--resume")
    assert janus(*words, *overrides) == 0
    printed = capsys.readouterr().out
    assert "0.0363" in printed
    assert "0.9779" in printed
    assert printed.index("own protocol") < printed.index("on people that it never saw")
    assert "cannot support FMR 0.01" in printed


@pytest.mark.tf
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--out", "wall.png/run"), "cannot be made"),
        (("--out", "run", "--enrol", "wall.png"), "no face was found in"),
        (("--out", "run", "--enrol", "missing.jpg"), r"missing\.jpg"),
    ],
)
def test_what_would_fail_after_hours_fails_at_once(att, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("wall.png", np.full((200, 200), 128, np.uint8))
    with pytest.raises(DoorError, match=said):
        janus("train", "--recipe", "att", "--data", att, *words)
    assert not list(tmp_path.glob("run/own-protocol"))


@pytest.mark.tf
def test_evaluate_measures_people_by_name_and_writes_a_page(att, run, tmp_path, capsys):
    words = ("--data", att, "--layout", "att", "--frames", "whole", "--subjects", "s5", "s6")
    assert janus("evaluate", run, *words, "--report", tmp_path / "page.html") == 0
    assert "2 people, 20 pictures" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "data:image/png;base64," in page
    assert page.count("src=") == page.count('src="data:'), "it opens without a network"
    assert "href=" not in page


@pytest.mark.tf
def test_evaluate_leaves_out_whom_the_run_was_fitted_on(att, run, capsys):
    """Who evaluates a run on its own pictures means the figures on people that it never saw."""
    words = ("evaluate", run, "--data", att, "--layout", "att", "--frames", "whole")
    assert janus(*words) == 0
    printed = capsys.readouterr().out
    assert "2 people, 20 pictures" in printed
    assert "the 4 others were fitted on and are left out" in printed
    assert janus(*words, "--subjects", "s1", "s5") == 0
    assert "1 of these people were fitted on: the figures flatter" in capsys.readouterr().out


@pytest.mark.tf
def test_evaluate_of_a_copied_encoder_measures_everybody(att, run, tmp_path, capsys):
    shutil.copy(run / "encoder.keras", tmp_path)
    words = ("evaluate", tmp_path / "encoder.keras", "--data", att, "--layout", "att")
    assert janus(*words, "--frames", "whole") == 0
    assert "6 people, 60 pictures" in capsys.readouterr().out


@pytest.mark.tf
def test_evaluate_refuses_a_damaged_metrics_file(att, run, tmp_path):
    shutil.copy(run / "encoder.keras", tmp_path)
    (tmp_path / "metrics.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"metrics\.json is not what `janus train` writes"):
        janus("evaluate", tmp_path, "--data", att, "--layout", "att", "--frames", "whole")


@pytest.mark.tf
def test_evaluate_refuses_people_that_are_not_there(att, run):
    with pytest.raises(ConfigError, match="s9 are not in"):
        janus("evaluate", run, "--data", att, "--layout", "att", "--subjects", "s9")


@pytest.mark.tf
def test_evaluate_refuses_what_is_no_encoder(att, tmp_path):
    with pytest.raises(ConfigError, match="is no encoder"):
        janus("evaluate", tmp_path, "--data", att, "--layout", "att", "--frames", "whole")


def blurred(people=8, each=6, spread=0.4):
    rng = np.random.default_rng(1)
    numbers = np.repeat(np.arange(people), each)
    centres = rng.normal(size=(people, 16))
    return (centres[numbers] + spread * rng.normal(size=(people * each, 16))).astype(
        np.float32
    ), numbers


def test_verification_states_what_the_count_supports_and_refuses_the_rest():
    embeddings, numbers = blurred()
    found = verify(embeddings, numbers)
    assert found.mated == 8 * 15
    assert found.nonmated == 28 * 36
    assert set(found.tar) == {"0.1"}
    assert any("cannot support FMR 0.01" in each for each in found.refused)
    assert any("10-way" in each for each in found.refused)
    eer = found.equal_error_rate
    assert eer.low <= eer.rate <= eer.high


def test_gallery_searches_count_strangers_and_mates():
    embeddings, numbers = blurred(spread=0.05)
    search = verify(embeddings, numbers).searches[0]
    assert search.gallery == 5
    assert search.stranger_searches == 20 * 3 * 6
    assert search.mated_searches == 20 * 5 * 5
    assert search.fnir.rate == 0.0
    assert search.fnir.high > 0.0, "eight people cannot show that it never errs"
    assert 0.0 < search.fpir.low < search.fpir.rate < search.fpir.high < 1.0, (
        "FMR 0.1 with five references lets strangers in"
    )


def test_best_boundary_separates_what_can_be_separated():
    boundary = best_boundary(
        np.array([0.1, 0.2, 0.6, 0.9], np.float32), np.array([1, 1, 0, 0], np.float32)
    )
    assert 0.2 < boundary < 0.6


def test_precision_is_the_share_of_mated_pairs_among_the_matches():
    mated = np.array([1, 1, 0, 0], np.float32)
    assert precision_of(np.array([True, False, True, False]), mated) == 0.5
    assert precision_of(np.zeros(4, np.bool_), mated) == 0.0


def test_report_is_one_page_with_its_pictures_in_it(tmp_path):
    png = loss_curves([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
    write_report(tmp_path / "r.html", "A <title>", [Section("One", ["a < b"], [("curve", png)])])
    page = (tmp_path / "r.html").read_text()
    assert "A &lt;title&gt;" in page
    assert "a &lt; b" in page
    assert "data:image/png;base64," in page
    assert (tmp_path / "pictures" / "01.png").read_bytes() == png


def test_pictures_without_a_face_are_refused_together(tmp_path):
    for name in ("ada", "eve"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), np.full((112, 92), 128, np.uint8))
    with pytest.raises(DataSetError, match="no face was found in 2 pictures"):
        align_pictures(read_folder(tmp_path))


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(900)  # three runs, beside others on a busy machine
def test_train_killed_by_the_system_ends_with_the_same_weights_when_resumed(att, tmp_path):
    """`kill -9` in the middle of an epoch, from outside, then --resume."""
    settings = ("tested=2", "frames=whole", "epochs=6", "pairs_each=40", "batch=16")
    overrides = [word for each in (*settings, "dropout=0.25,0.25,0.1") for word in ("--set", each)]
    words = ("train", "--recipe", "att", "--data", att, *overrides)
    # All in processes alike: what this one has loaded may decide how TensorFlow adds up.
    program = [sys.executable, "-m", "edge", *map(str, words), "--out"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run([*program, str(tmp_path / "whole")], **silent).returncode == 0

    killed = tmp_path / "killed"
    running = subprocess.Popen([*program, str(killed)], **silent)
    history = killed / "history.jsonl"
    while not history.is_file() or len(history.read_text().splitlines()) < 2:
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (killed / "encoder.keras").exists()

    assert subprocess.run([*program, str(killed), "--resume"], **silent).returncode == 0
    one, other = (
        keras_weights(directory / "encoder.keras") for directory in (tmp_path / "whole", killed)
    )
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def keras_weights(path):
    import keras

    return keras.models.load_model(path, compile=False).get_weights()
