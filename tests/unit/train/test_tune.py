"""Fine-tuning: what helps is kept, what does not is not, and a stopped run goes on."""

import hashlib
import json
import shutil

import cv2
import numpy as np
import pytest

from edge.config import SHIPPED_BUNDLE
from edge.errors import ConfigError
from train.errors import DataSetError
from train.fitting.model import embed
from train.tuning.initial import open_initial
from train.tuning.site import Settings, parse_settings, read_lesson
from train.tuning.tune import tune
from train.tuning.verdict import judge

pytestmark = pytest.mark.tf

SMALL = Settings(epochs=2, steps=20, people=10, pictures=4, kept=8, learning_rate=3e-3, pull=5.0)


def people(directory, count, each=5, *, seed=0):
    """Draw people as faint patterns of grey under light from a side of each picture's own."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(-1, 1, 112), np.linspace(-1, 1, 112))
    for person in range(count):
        pattern = cv2.resize(rng.integers(95, 160, (6, 6), np.uint8), (112, 112))
        for number in range(each):
            side = rng.uniform(0, 2 * np.pi)
            light = 30 * (np.cos(side) * across + np.sin(side) * down)
            noisy = pattern + light + rng.normal(0, 6, (112, 112))
            path = directory / f"p{person:02d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.clip(noisy, 0, 255).astype(np.uint8))
    return directory


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Three dozen people at a door."""
    return people(tmp_path_factory.mktemp("site"), 36, 4)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Twelve people elsewhere, with names of their own."""
    directory = people(tmp_path_factory.mktemp("others"), 12, seed=5)
    for each in sorted(directory.iterdir()):
        each.rename(each.with_name(f"other-{each.name}"))
    return directory


def encoder(path, *, seed=0):
    """Save a small net with random weights, which sees mostly the light: much can be learnt."""
    import keras

    keras.utils.set_random_seed(seed)
    net = keras.Sequential(
        [
            keras.Input((112, 112, 3)),
            keras.layers.Rescaling(1 / 32, offset=-4),
            keras.layers.AveragePooling2D(14),
            keras.layers.Conv2D(8, 1, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(32),
        ]
    )
    net.save(path)
    return path


@pytest.fixture(scope="module")
def initial(tmp_path_factory):
    """A float encoder."""
    return encoder(tmp_path_factory.mktemp("initial") / "encoder.keras")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def tuned(initial, site, others, tmp_path_factory):
    """A run that helps."""
    out = tmp_path_factory.mktemp("tuned")
    return tune(initial, site, out, keep=others, settings=SMALL), out


@pytest.mark.slow
def test_tuning_that_helps_is_kept_and_says_so(initial, tuned):
    verdict, out = tuned
    assert verdict.helped
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["helped"] is True
    assert metrics["site"]["eer_after"] < metrics["site"]["eer_before"]
    assert metrics["site"]["difference_high"] < 0
    assert metrics["others"]["people"] == 6
    assert (
        digest(out / "encoder.keras")
        != digest(initial)
        == json.loads((out / "recipe.json").read_text())["initial_sha256"]
    )
    assert {"history.jsonl", "report.html"} <= {each.name for each in out.iterdir()}
    assert "It helped" in (out / "report.html").read_text()


@pytest.mark.slow
def test_people_held_out_are_never_fitted_on(tuned, site):
    _, out = tuned
    held = json.loads((out / "metrics.json").read_text())["held_out"]
    lesson = read_lesson(site, None, None, SMALL)
    assert held == list(lesson.tested.index.subjects)
    assert not set(held) & set(lesson.fitted.index.subjects)
    assert len(held) >= 5


@pytest.mark.slow
def test_statistics_of_the_initial_encoder_stay(initial, tuned):
    _, out = tuned
    for path in (initial, out / "encoder.keras"):
        import keras

        norm = next(
            each
            for each in keras.models.load_model(path).layers
            if isinstance(each, keras.layers.BatchNormalization)
        )
        np.testing.assert_array_equal(norm.moving_mean, np.zeros(8))
        assert norm.trainable


@pytest.mark.slow
def test_tuning_that_does_not_help_keeps_the_initial_file(initial, site, tmp_path, capsys):
    """A rate of nothing changes nothing, and that is not called help."""
    idle = Settings(epochs=1, steps=2, people=4, pictures=2, learning_rate=1e-12)
    verdict = tune(initial, site, tmp_path, settings=idle)
    assert not verdict.helped
    assert digest(tmp_path / "encoder.keras") == digest(initial)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["helped"], metrics["encoder"]) == (False, "the initial one")
    printed = capsys.readouterr().out
    assert "did not help" in printed
    assert "give some with --keep" in printed


@pytest.mark.slow
def test_killed_tuning_that_is_resumed_ends_with_the_same_weights(
    tuned, initial, site, others, tmp_path
):
    from train.fitting import checkpoint

    saved, real = [], checkpoint.save

    def save_and_die(*words):
        real(*words)
        saved.append(1)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "save", save_and_die)
        tune(initial, site, tmp_path, keep=others, settings=SMALL)
    assert saved == [1]
    tune(initial, site, tmp_path, keep=others, settings=SMALL, resume=True)
    crops = np.random.default_rng(0).integers(0, 255, (4, 112, 112, 3), np.uint8)
    one, other = (
        embed(open_initial(each / "encoder.keras").model, crops) for each in (tuned[1], tmp_path)
    )
    np.testing.assert_array_equal(one, other)


def test_helping_the_site_by_harming_others_is_no_help():
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(20), 5)
    centres = rng.normal(size=(20, 8))

    def embeddings(spread):
        found = centres[numbers] + spread * rng.normal(size=(100, 8))
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    clear, blurred = embeddings(0.3), embeddings(2.0)
    better = judge((blurred, clear), (clear, clear), (numbers, numbers), seed=0)
    assert better.helped
    harmed = judge((blurred, clear), (clear, blurred), (numbers, numbers), seed=0)
    assert not harmed.helped
    assert "harmed other people" in harmed.lines[0]
    chance = judge((clear, None), (clear, None), (numbers, None), seed=0)
    assert not chance.helped


def test_strangers_alone_are_judged_by_agreement():
    rng = np.random.default_rng(0)
    numbers, strangers = np.repeat(np.arange(20), 5), np.arange(30)
    site = rng.normal(size=(100, 8)).astype(np.float32)
    site /= np.linalg.norm(site, axis=1, keepdims=True)
    seen = np.eye(30, dtype=np.float32)
    forgot = judge((site, seen), (site, np.roll(seen, 1, axis=0)), (numbers, strangers), seed=0)
    assert forgot.figures["agreement"]["others"] == 0.0
    assert "nobody has a second picture" in "\n".join(forgot.lines)


def test_site_of_few_people_is_told_how_many_are_needed(tmp_path):
    people(tmp_path, 6, each=2)
    with pytest.raises(DataSetError, match="6 people with two usable pictures or more; 7 are need"):
        read_lesson(tmp_path, None, None, SMALL)


def test_people_of_the_site_are_taken_out_of_the_others(site):
    with pytest.raises(DataSetError, match="0 people who are not the site's"):
        read_lesson(site, site, None, SMALL)


def test_int8_bundle_alone_is_refused_with_the_file_to_give():
    with pytest.raises(ConfigError, match=r"no float weights.*sha256 [0-9a-f]{12}.*recipe"):
        open_initial(SHIPPED_BUNDLE)


def test_bundle_beside_its_own_run_is_tuned_from_the_float_encoder(initial, tmp_path, monkeypatch):
    from train.tuning import initial as room

    bundle = tmp_path / "run" / "bundle"
    shutil.copytree(SHIPPED_BUNDLE, bundle)
    shutil.copy(initial, tmp_path / "run" / "encoder.keras")
    with pytest.raises(ConfigError, match="no float weights"):
        open_initial(bundle)  # that file is another encoder's
    stated = room.inspect_bundle(bundle).manifest.training["encoder_keras_sha256"]
    real = room._digest
    monkeypatch.setattr(
        room, "_digest", lambda path: stated if path.suffix == ".keras" else real(path)
    )
    assert open_initial(bundle).path == tmp_path / "run" / "encoder.keras"


def test_what_is_no_encoder_for_crops_is_refused(tmp_path):
    import keras

    net = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()])
    net.save(tmp_path / "other.keras")
    with pytest.raises(ConfigError, match="an encoder maps"):
        open_initial(tmp_path / "other.keras")
    with pytest.raises(ConfigError, match="no encoder with float weights"):
        open_initial(tmp_path)


def test_settings_are_read_by_name_and_type():
    assert parse_settings(["epochs=3", "pull=0.5"]) == Settings(epochs=3, pull=0.5)
    with pytest.raises(ConfigError, match="with one of epochs, steps"):
        parse_settings(["speed=3"])
    with pytest.raises(ConfigError, match="expected int"):
        parse_settings(["epochs=x"])
