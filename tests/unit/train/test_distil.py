"""Caches that survive a stop, subjects held out, and a whole small run of the door's recipe."""

import csv
import json
import sys
import zipfile
from functools import partial

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.door import distil
from train.door.whitening import whitening
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
    monkeypatch.setattr(distil, "_HELD_STRANGERS", 8)


@pytest.fixture(name="calls")
def fixture_calls(monkeypatch):
    """A teacher that names the colour, and how often it was asked."""
    asked = []

    def embed(face):
        asked.append(face.shape)
        return np.array([*face.mean(axis=(0, 1)), 64.0], np.float32)

    monkeypatch.setattr(distil, "_teacher", lambda _path: embed)
    return asked


@pytest.fixture(name="teacher")
def fixture_teacher(tmp_path):
    """A file to take the digest of."""
    path = tmp_path / "teacher.onnx"
    path.write_bytes(b"a network")
    return path


def test_listing_names_crops_and_subjects(pictures):
    """Strangers have no name and no typicality."""
    listing = distil.read_listing(pictures)
    assert len(listing.files) == PEOPLE * EACH + STRANGERS
    assert np.count_nonzero(listing.subjects == "") == STRANGERS
    assert np.isnan(listing.typicality[-1])


def test_missing_listing_says_what_is_expected(tmp_path):
    """The message names the columns."""
    with pytest.raises(DataSetError, match="typicality"):
        distil.read_listing(tmp_path)


def test_crops_are_decoded_once(pictures, tmp_path):
    """The second call maps the file that the first one made."""
    listing = distil.read_listing(pictures)
    crops = distil.cache_crops(listing, pictures, tmp_path)
    assert crops.shape == (len(listing.files), 144, 144, 3)
    again = distil.cache_crops(listing, tmp_path / "no archives here", tmp_path)
    assert np.array_equal(crops, again)


def test_archive_without_a_crop_is_named(pictures, tmp_path):
    """Nothing half-made is left to be taken for the whole."""
    listing = distil.read_listing(pictures)
    with pytest.raises(DataSetError, match=r"drawn\.zip"):
        distil.cache_crops(listing, tmp_path / "nowhere", tmp_path)
    assert not list(tmp_path.glob("*.raw"))


def test_targets_are_unit_rows_and_only_missing_ones_are_made(pictures, tmp_path, teacher, calls):
    """A run that was stopped asks for the rest only; each crop is seen twice, once mirrored."""
    listing = distil.read_listing(pictures)
    crops = distil.cache_crops(listing, pictures, tmp_path)
    targets = distil.cache_targets(crops, teacher, tmp_path, listing.digest)
    assert np.linalg.norm(targets, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len(calls) == 1 + 2 * len(crops)
    path = next(tmp_path.glob("targets-*.npy"))
    stopped = np.load(path)
    stopped[5:] = np.nan
    np.save(path, stopped)
    calls.clear()
    assert np.array_equal(distil.cache_targets(crops, teacher, tmp_path, listing.digest), targets)
    assert len(calls) == 2 * (len(crops) - 5)


def test_nobody_held_out_is_fitted_on(pictures):
    """Subjects are held out, not pictures."""
    listing = distil.read_listing(pictures)
    held = distil.hold_out(listing, seed=3)
    watched = set(listing.subjects[held.known])
    assert len(watched) == 40
    assert not watched & set(listing.subjects[held.fitted])
    assert not set(held.strangers) & set(held.fitted)
    assert len(held.people) == len(held.known)
    assert len(set(held.labels)) == PEOPLE - 40
    assert set(held.labelled) <= set(held.fitted)


def test_held_out_people_follow_the_seed(pictures):
    """Equal seeds hold out equal people, others others."""
    listing = distil.read_listing(pictures)
    one, same, other = (distil.hold_out(listing, seed=each) for each in (1, 1, 2))
    assert np.array_equal(one.known, same.known)
    assert not np.array_equal(one.fitted, other.fitted)


def test_teacher_without_its_runtime_names_the_package(monkeypatch, tmp_path):
    """A module that is None in sys.modules cannot be imported."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match="pip install onnxruntime"):
        distil._teacher(tmp_path / "teacher.onnx")


def test_file_that_is_no_network_is_refused(teacher):
    """Its message names the file."""
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"teacher\.onnx"):
        distil._teacher(teacher)


def test_whitening_shrinks_what_varies_within_people_most():
    """One dimension tells people apart, another only pictures: the second loses its weight."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(20), 10)
    apart = np.array([rng.normal(0, 3, 20)[subjects], rng.normal(0, 3, 200)]).T
    embeddings = (apart + rng.normal(0, 0.1, (200, 2))).astype(np.float32)
    crowd = rng.normal(2, 1, (50, 2)).astype(np.float32)
    mean, matrix = whitening(embeddings, subjects, crowd, 0.0)
    assert mean == pytest.approx(crowd.mean(axis=0))
    before, after = embeddings.std(axis=0), ((embeddings - mean) @ matrix).std(axis=0)
    assert after[0] / after[1] > 1.3 * before[0] / before[1]


def test_whitening_of_plain_spread_keeps_directions():
    """With a share of one, only the mean and the scale change."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(60, 3)).astype(np.float32)
    _, matrix = whitening(drawn, np.arange(60) % 6, drawn, 1.0)
    assert matrix == pytest.approx(np.eye(3) * matrix[0, 0], abs=1e-5)


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.usefixtures("calls")
def test_run_goes_on_where_it_stopped(pictures, tmp_path, teacher, monkeypatch):
    """Two sizes of picture, a stop between, an encoder for the door's crop at the end."""
    import keras

    from train.door import student
    from train.door.student import Schedule

    small = partial(student.residual_encoder, stem_channels=2, stages=((4, "n"),), head_channels=4)
    monkeypatch.setattr(student, "residual_encoder", small)

    schedule = Schedule(batch=8, sizes=((32, 0.5, 0.5), (48, 1.0, 1.0)))
    out = tmp_path / "run"

    def run(seconds, *, resume):
        distil.run_door(
            pictures, teacher, out, minutes=seconds / 60, resume=resume, schedule=schedule
        )
        return json.loads((out / "metrics.json").read_text(encoding="utf-8"))

    # The first step compiles: it takes seconds, ten of which count at most.
    first = run(0.5, resume=False)
    second = run(15, resume=True)
    assert second["step"] > first["step"]
    assert len((out / "history.jsonl").read_text(encoding="utf-8").splitlines()) == 4
    encoder = keras.models.load_model(out / "encoder.keras", compile=False)
    assert encoder.input_shape == (None, 112, 112, 3)
    assert encoder.output_shape == (None, 4)
    with pytest.raises(ConfigError, match="another --out"):
        distil.run_door(pictures, teacher, out, minutes=1, resume=True, schedule=Schedule(batch=9))
