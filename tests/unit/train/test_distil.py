"""Caches that survive a stop, subjects held out, and a whole small run of the door's recipe."""

import csv
import json
import sys
import zipfile
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.door import caches, distil, lesson
from train.door.lesson import Lesson, batches
from train.door.mixing import Mixtures
from train.errors import DataSetError

PEOPLE, EACH, STRANGERS = 44, 2, 12


@pytest.fixture(scope="module", name="pictures")
def fixture_pictures(tmp_path_factory):
    """44 people with two crops each and 12 strangers, as an archive with its index."""
    directory, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    names = [f"person {at}" for at in range(PEOPLE) for _ in range(EACH)] + [""] * STRANGERS
    with (
        zipfile.ZipFile(directory / "drawn.zip", "w") as archive,
        (directory / "index.csv").open("w", newline="", encoding="utf-8") as lines,
    ):
        writer = csv.writer(lines)
        writer.writerow(["file", "source", "subject", "typicality"])
        for at, name in enumerate(names):
            crop = np.full((144, 144, 3), rng.integers(0, 256, 3), np.uint8)
            archive.writestr(f"drawn/{at}.png", cv2.imencode(".png", crop)[1].tobytes())
            writer.writerow([f"drawn/{at}.png", "drawn", name, "0.9" if name else ""])
    return directory


@pytest.fixture(autouse=True)
def _few_held_strangers(monkeypatch):
    """Of twelve strangers, eight are held out and four fitted on."""
    monkeypatch.setattr(lesson, "_HELD_STRANGERS", 8)


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch):
    """A teacher that names the colour, and how often it was asked."""
    asked = []

    def embed(face):
        asked.append(face.shape)
        return np.array([*face.mean(axis=(0, 1)), 64.0], np.float32)

    monkeypatch.setattr(caches, "_teacher", lambda _path: embed)
    return asked


@pytest.fixture(name="teacher")
def fixture_teacher(tmp_path):
    """A file to take the digest of."""
    path = tmp_path / "teacher.onnx"
    path.write_bytes(b"a network")
    return path


def test_listing_names_crops_and_subjects(pictures):
    """Strangers have no name and no typicality."""
    listing = caches.read_listing(pictures)
    assert len(listing.files) == PEOPLE * EACH + STRANGERS
    assert np.count_nonzero(listing.subjects == "") == STRANGERS
    assert np.isnan(listing.typicality[-1])


def test_missing_listing_says_what_is_expected(tmp_path):
    """The message names the columns."""
    with pytest.raises(DataSetError, match="typicality"):
        caches.read_listing(tmp_path)


def test_crops_are_decoded_once(pictures, tmp_path):
    """The second call maps the file that the first one made."""
    listing = caches.read_listing(pictures)
    crops = caches.cache_crops(listing, pictures, tmp_path)
    assert crops.shape == (len(listing.files), 144, 144, 3)
    again = caches.cache_crops(listing, tmp_path / "no archives here", tmp_path)
    assert np.array_equal(crops, again)


def test_archive_without_a_crop_is_named(pictures, tmp_path):
    """Nothing half-made is left to be taken for the whole."""
    listing = caches.read_listing(pictures)
    with pytest.raises(DataSetError, match=r"drawn\.zip"):
        caches.cache_crops(listing, tmp_path / "nowhere", tmp_path)
    assert not list(tmp_path.glob("*.raw"))


def test_targets_are_unit_rows_and_only_missing_ones_are_made(pictures, tmp_path, teacher, calls):
    """A run that was stopped asks for the rest only; each crop is seen twice, once mirrored."""
    listing = caches.read_listing(pictures)
    crops = caches.cache_crops(listing, pictures, tmp_path)
    asked = partial(caches.cache_targets, len(crops), crops.__getitem__, teacher, tmp_path, "own")
    targets = asked()
    assert np.linalg.norm(targets, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len(calls) == 1 + 2 * len(crops)
    path = next(tmp_path.glob("targets-*.npy"))
    stopped = np.load(path)
    stopped[5:] = np.nan
    np.save(path, stopped)
    calls.clear()
    assert np.array_equal(asked(), targets)
    assert len(calls) == 2 * (len(crops) - 5)


def test_nobody_held_out_is_fitted_on(pictures):
    """Subjects are held out, not pictures."""
    listing = caches.read_listing(pictures)
    held = lesson.hold_out(listing, seed=3)
    watched = set(listing.subjects[held.known])
    assert len(watched) == 40
    assert not watched & set(listing.subjects[held.fitted])
    assert not set(held.strangers) & set(held.fitted)
    assert len(held.people) == len(held.known)
    assert len(held.labels) == len(held.fitted)
    for row, label in zip(held.fitted, held.labels, strict=True):
        assert (label == -1) == (listing.subjects[row] == "")
    assert sorted(set(held.labels)) == [-1, *range(PEOPLE - 40)]


def test_held_out_people_follow_the_seed(pictures):
    """Equal seeds hold out equal people, others others."""
    listing = caches.read_listing(pictures)
    one, same, other = (lesson.hold_out(listing, seed=each) for each in (1, 1, 2))
    assert np.array_equal(one.known, same.known)
    assert not np.array_equal(one.fitted, other.fitted)


def test_teacher_without_its_runtime_names_the_package(monkeypatch, tmp_path):
    """A module that is None in sys.modules cannot be imported."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="janus-door\\[teacher"):
        caches._teacher(tmp_path / "teacher.onnx")


def test_file_that_is_no_network_is_refused(teacher):
    """Its message names the file."""
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"teacher\.onnx"):
        caches._teacher(teacher)


@pytest.fixture(name="small_lesson")
def fixture_small_lesson(pictures, tmp_path):
    """Real crops with targets that are their row number, and 20 mixtures."""
    listing = caches.read_listing(pictures)
    crops = caches.cache_crops(listing, pictures, tmp_path)
    held = lesson.hold_out(listing, seed=0)
    mixtures = Mixtures.drawn(held.fitted, 20, seed=0)
    targets = np.repeat(np.arange(len(crops), dtype=np.float32)[:, None], 3, axis=1)
    return Lesson(crops, targets, held, mixtures, -np.ones((20, 3), np.float32))


def test_blended_mixture_is_the_weighted_mean_of_both():
    """Half of the mixtures are."""
    crops = np.stack([np.full((144, 144, 3), level, np.uint8) for level in (100, 200)])
    mixtures = Mixtures(np.array([0]), np.array([1]), np.array([0.3], np.float32))
    assert np.all(mixtures.wide(crops, 0) == 170)


def test_divided_mixture_is_one_above_and_the_other_below():
    """The seam between eyes and nose is soft."""
    crops = np.stack([np.full((144, 144, 3), level, np.uint8) for level in (100, 200)])
    rows = Mixtures(np.array([0]), np.array([1]), np.array([-80.0], np.float32)).wide(crops, 0)
    assert np.all(rows[:40] == 100)
    assert np.all(rows[120:] == 200)
    assert rows[80].mean() == pytest.approx(150, abs=1)


def test_mixtures_are_of_people_fitted_on_and_follow_the_seed(pictures):
    """Nobody held out is seen in part either."""
    held = lesson.hold_out(caches.read_listing(pictures), seed=0)
    one, same, other = (Mixtures.drawn(held.fitted, 50, seed) for seed in (1, 1, 2))
    assert set(one.first) | set(one.second) <= set(held.fitted)
    assert np.array_equal(one.shares, same.shares)
    assert not np.array_equal(one.first, other.first)


def test_every_crop_and_mixture_is_seen_once_a_pass(small_lesson):
    """What does not fill a batch is left out; mixtures have no label."""
    seen = list(batches(small_lesson, 4, 32, 0.0, range(len(small_lesson) // 4), seed=0))
    targets = np.concatenate([each.targets[:, 0] for each in seen])
    labels = np.concatenate([each.labels for each in seen])
    own = targets[targets >= 0]
    assert len(set(own)) == len(own)
    assert set(own) <= set(small_lesson.held.fitted.astype(float))
    assert np.all(labels[targets < 0] == -1)
    assert np.any(labels >= 0)
    label_of = dict(zip(small_lesson.held.fitted, small_lesson.held.labels, strict=True))
    assert [label_of[int(row)] for row in own] == list(labels[targets >= 0])


def test_batch_is_decided_by_its_number(small_lesson):
    """A run that is resumed in mid-pass sees what it would have seen."""
    whole = list(batches(small_lesson, 4, 32, 0.6, range(12), seed=5))
    rest = list(batches(small_lesson, 4, 32, 0.6, range(7, 12), seed=5))
    for one, other in zip(whole[7:], rest, strict=True):
        assert np.array_equal(one.faces, other.faces)
        assert np.array_equal(one.targets, other.targets)


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("labels", [0.0, 0.02])
def test_run_goes_on_where_it_stopped(pictures, tmp_path, teacher, labels):
    """Two sizes of picture, a stop between, an encoder for the door's crop at the end."""
    import keras

    from train.door.schedule import Schedule

    schedule = Schedule(
        passes=30,
        batch=8,
        labels=labels,
        mixtures=20,
        sizes=((32, 0.5, 2e-3, 0.5), (48, 1.0, 2e-3, 1.0)),
        stem=2,
        stages=((4, "n"),),
        head=4,
    )
    out = tmp_path / "run"
    run = partial(distil.run_door, pictures, teacher, out, schedule=schedule)
    assert not run(minutes=1e-6)
    assert run(resume=True)
    lines = (out / "history.jsonl").read_text(encoding="utf-8").splitlines()
    first, last = (json.loads(each) for each in lines)
    assert first["step"] < last["step"] == schedule.steps(4 * EACH + 4 + 20)
    assert last["cosine_people"] > first["cosine_people"]
    encoder = keras.models.load_model(out / "encoder.keras", compile=False)
    assert encoder.input_shape == (None, 112, 112, 3)
    assert encoder.output_shape == (None, 4)
    with pytest.raises(ConfigError, match="another --out"):
        run(resume=True, schedule=Schedule(batch=9, mixtures=20))
    further = partial(distil.run_door, pictures, teacher, tmp_path / "further", minutes=1e-6)
    further(schedule=schedule, start=out)
    begun = json.loads((tmp_path / "further" / "history.jsonl").read_text(encoding="utf-8"))
    assert begun["cosine_people"] == pytest.approx(last["cosine_people"], abs=0.15)
    with pytest.raises(ConfigError, match="other widths"):
        further(schedule=replace(schedule, stem=3), start=out)


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.usefixtures("calls")
def test_two_runs_of_one_seed_are_alike(pictures, tmp_path, teacher):
    """The order of sums in threads is all that may differ."""
    import keras

    from train.door.schedule import Schedule

    sizes = ((32, 0.5, 2e-3, 1.0),)
    schedule = Schedule(
        passes=5, batch=8, mixtures=4, sizes=sizes, stem=2, stages=((4, "n"),), head=4
    )
    weights = []
    for name in ("one", "other"):
        distil.run_door(pictures, teacher, tmp_path / name, schedule=schedule)
        encoder = keras.models.load_model(tmp_path / name / "encoder.keras", compile=False)
        weights.append(np.concatenate([each.ravel() for each in encoder.get_weights()]))
    assert weights[0] == pytest.approx(weights[1], abs=1e-3)


def test_settings_of_the_schedule_are_read_by_name_and_type():
    """What `--set` gives is of the default's type, or is refused."""
    from train.door.schedule import Schedule, parse_schedule

    given = ["passes=3", "mixtures=0", "precision=float32", "sizes=((96, 0.5, 1e-3, 1.0),)"]
    assert parse_schedule(given) == Schedule(
        passes=3.0, mixtures=0, precision="float32", sizes=((96, 0.5, 1e-3, 1.0),)
    )
    with pytest.raises(ConfigError, match="one of passes, batch"):
        parse_schedule(["pases=3"])
    with pytest.raises(ConfigError, match="expected int, such as 64"):
        parse_schedule(["batch=many"])


def test_rate_rises_again_with_the_size_and_ends_at_nothing():
    """A network must learn anew how large things are."""
    from train.door.schedule import Schedule

    schedule = Schedule(sizes=((64, 0.5, 2e-3, 0.5), (96, 0.6, 1e-3, 1.0)))
    assert schedule.stage_at(0.02)[:2] == (64, 0.5)
    assert schedule.stage_at(0.02)[2] == pytest.approx(2e-3, rel=0.02)
    assert schedule.stage_at(0.4999)[2] < 1e-5
    assert schedule.stage_at(0.52)[0] == 96
    assert schedule.stage_at(0.52)[2] == pytest.approx(1e-3, rel=0.02)
    assert schedule.stage_at(1.0)[2] < 1e-5
