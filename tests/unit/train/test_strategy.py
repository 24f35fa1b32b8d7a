"""Several devices or processes fit as one does: weights, files, and what they say when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.cli import COMMANDS
from train.fitting.strategy import is_chief, open_team

SETTINGS = ("pairs_each=20", "epochs=2", "tested=2", "frames=whole", "batch=64")
# Sums are taken in another order on two replicas, and RMSprop divides by gradients near zero:
# single weights drift by up to a step (0.001), all of them together by far less.
FARTHEST, ROOT_MEAN_SQUARE = 1e-3, 2e-5

# Takes steps by each loss on one device and on three, which share each batch unevenly. Plain
# descent, not Adam: Adam's steps do not depend on a gradient's size, so they would hide a wrong
# factor, and turn the last bit of a gradient near zero into a whole step.
ON_THREE_DEVICES = """
import json, sys
from pathlib import Path
import keras, numpy as np, tensorflow as tf
three = [tf.config.LogicalDeviceConfiguration()] * 3
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], three)
from train.data.augment import augmentation
from train.data.datasets import read_folder
from train.fitting.feed import feed_of
from train.fitting.fit import seed_everything
from train.data.framing import frame
from train.fitting.losses import make_objective
from train.fitting.model import build
from train.recipes import resolve
from train.fitting.step import make_step
from train.fitting.strategy import one_process, open_team, shared_statistics

crops = frame(read_folder(Path(sys.argv[1])), "whole")
mirrored, found = open_team("mirrored"), {}
for name, loss in json.loads(sys.argv[2]):
    recipe = resolve(name, [f"loss={loss}", "dropout=", "batch=16"])
    runs = []
    for team in (one_process(), mirrored):
        seed_everything(0)
        with team.scope():
            stem, core = build(recipe.encoder, recipe.dropout)
            feed = feed_of(recipe, stem, crops)
            objective = make_objective(recipe, feed.subjects, core)
            descent = keras.optimizers.SGD(0.002)
            fitted = [*core.trainable_variables, *objective.variables]
            descent.build(fitted)
        begun = np.concatenate([each.ravel() for each in core.get_weights()])
        step = make_step(core, objective, optimizer=descent, augment=augmentation(()),
                         pictures=feed.pictures, team=team)
        batches = [batch for _, batch in zip(range(3), feed.batches(0))]
        sizes = [len(batch.pictures) for batch in batches]
        with shared_statistics(core, team):
            losses = [step(batch) for batch in batches]
        values = [*core.get_weights(), *(np.array(each) for each in objective.variables)]
        runs.append((np.concatenate([each.ravel() for each in values]), losses))
    (one, losses), (other, again) = runs
    found[f"{name} {loss}"] = {
        "apart": float(np.abs(one - other).max()),
        "moved": float(np.abs(one[: begun.size] - begun).max()),
        "losses": [losses, again],
        "sizes": sizes,
    }
print(json.dumps({"replicas": mirrored.replicas, "found": found}))
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """An AT&T tree of six people, ten noisy pictures of a pattern each."""
    directory = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for person in range(1, 7):
        pattern = cv2.resize(rng.integers(0, 255, (5, 4), np.uint8), (92, 112))
        for number in range(1, 11):
            noisy = np.clip(pattern + rng.normal(0, 10, (112, 92)), 0, 255).astype(np.uint8)
            path = directory / f"s{person}" / f"{number}.pgm"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), noisy)
    return directory


def free_ports(count):
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def workers(people, run, *words, count=2, others=()):
    """Start `janus train --recipe att` as *count* workers of one cluster on loopback.

    Workers after the chief get the words *others* too.
    """
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    started = []
    for index in range(count):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        out = run if index == 0 else run.with_name(f"{run.name}-worker-{index}")
        strategy = ("--strategy", "multiworker") if count > 1 else ()
        command = [sys.executable, "-m", "edge", "train", "--recipe", "att", *words, *strategy]
        command += others if index else ()
        started.append(
            subprocess.Popen(
                [*command, "--data", str(people), "--out", str(out)],
                env=os.environ | {"TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return started


def setting_words(*settings):
    return [word for each in settings for word in ("--set", each)]


def finish(started):
    """Wait for all; return what each printed."""
    printed = [each.communicate(timeout=400)[0] for each in started]
    assert [each.returncode for each in started] == [0] * len(started), "\n".join(printed)
    return printed


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(900)  # processes beside others on a busy machine
def test_two_workers_on_loopback_fit_what_one_process_fits(people, tmp_path):
    """The recipe `att` by its own protocol and with people held out; one of them writes."""
    import keras

    words = setting_words(*SETTINGS)
    finish(workers(people, tmp_path / "two", *words))
    finish(workers(people, tmp_path / "one", *words, count=1))
    one, two = (
        keras.models.load_model(tmp_path / each / "encoder.keras") for each in ("one", "two")
    )
    apart = np.concatenate(
        [(a - b).ravel() for a, b in zip(one.get_weights(), two.get_weights(), strict=True)]
    )
    assert np.abs(apart).max() < FARTHEST
    assert np.sqrt(np.mean(apart**2)) < ROOT_MEAN_SQUARE
    figures = [
        json.loads((tmp_path / each / "metrics.json").read_text()) for each in ("one", "two")
    ]
    losses = [each["own_protocol"]["validation loss"] for each in figures]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert not (tmp_path / "two-worker-1").exists(), "only the chief writes"


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_that_loses_another_says_so_and_both_resume(people, tmp_path):
    words = setting_words(*SETTINGS[2:], "pairs_each=600", "epochs=2")
    chief, other = workers(people, tmp_path / "run", *words)
    deadline_s = time.monotonic() + 120
    while not (tmp_path / "run" / "own-protocol" / "checkpoint.npz").exists():
        assert time.monotonic() < deadline_s
        assert chief.poll() is None, chief.communicate()[0]
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    printed, _ = chief.communicate(timeout=400)
    assert chief.returncode == 7, printed
    assert "start every worker again with --resume" in printed
    finish(workers(people, tmp_path / "run", "--resume", *words))
    assert (tmp_path / "run" / "encoder.keras").is_file()


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_with_other_settings_than_the_chief_says_so(people, tmp_path):
    words = setting_words(*SETTINGS)
    chief, other = workers(people, tmp_path / "run", *words, others=("--seed", "1"))
    printed, _ = other.communicate(timeout=400)
    assert other.returncode == 2, printed
    assert "settings are not the chief's" in printed
    printed, _ = chief.communicate(timeout=400)
    assert chief.returncode == 7, printed


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mirrored_devices_step_as_one_device_does_by_every_loss(people):
    """Pairs across shares, hardest triplets of the whole batch, softmax; with batch statistics."""
    recipes = [
        ["att", "contrastive"],
        ["olivetti", "sigmoid-bce"],
        ["mnist", "contrastive"],
        ["avengers-triplet", "batch-hard"],
        ["avengers-triplet", "semi-hard"],
        ["att-plus", "margin-softmax"],
    ]
    command = [sys.executable, "-c", ON_THREE_DEVICES, str(people), json.dumps(recipes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(done.stdout.splitlines()[-1])
    assert made["replicas"] == 3
    assert len(made["found"]) == len(recipes)
    for name, found in made["found"].items():
        assert found["apart"] < min(1e-4, found["moved"] / 100), name
        assert found["losses"][0] == pytest.approx(found["losses"][1], rel=1e-4), name
    sizes = [size for found in made["found"].values() for size in found["sizes"]]
    assert any(size % 3 for size in sizes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_tf_config_that_names_no_worker_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"TF_CONFIG.*such as \{"):
        is_chief(text)


def test_first_worker_is_the_chief():
    cluster = {"worker": ["a:1", "b:1"]}
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": each}} for each in (0, 1)]
    assert [is_chief(json.dumps(each)) for each in tasks] == [True, False]


@pytest.mark.parametrize("recipe", ["door", "eyes", "landmarks"])
@pytest.mark.parametrize("word", ["--strategy=mirrored", "--tensorboard"])
def test_recipes_with_a_loop_of_their_own_refuse_a_strategy(recipe, word, tmp_path):
    command = next(each for each in COMMANDS if each.name == "train")
    parser = ArgumentParser()
    command.add_arguments(parser)
    words = ["--recipe", recipe, "--data", str(tmp_path), "--out", str(tmp_path), word]
    with pytest.raises(ConfigError, match=f"not for {recipe}"):
        command(parser.parse_args(words))


def test_unknown_strategy_names_the_known_ones():
    with pytest.raises(ConfigError, match="none, mirrored, multiworker"):
        open_team("horovod")
