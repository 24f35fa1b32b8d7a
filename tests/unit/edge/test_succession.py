"""One gallery file through changes of model and of release: nobody lost, nobody kept by mistake."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from edge.bundles.succession import Succession
from edge.errors import GalleryError, GalleryModelMismatchError
from edge.gallery import GalleryStore
from edge.stores.gallery_layout import PLAIN, gallery_layout
from edge.stores.keyfile import KeyFile
from edge.vocabulary import Embedding

OLD, NEW = "a" * 64, "b" * 64
GEOMETRY = "a-geometry/v1"


def embedding(seed=0, model_id=OLD, size=32):
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), model_id)


def crop(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def by_new_model(pixels):
    """Another length and another direction, worked out from the pixels."""
    return embedding(int(pixels.sum()), NEW, size=48)


@pytest.fixture
def path(tmp_path):
    """Ada with a kept crop, Eve without."""
    path = tmp_path / "gallery.sqlite"
    with GalleryStore(path, OLD) as gallery:
        gallery.enrol("Ada", [embedding(1)], crops=[crop(1)], alignment=GEOMETRY)
        gallery.enrol("Eve", [embedding(2)])
    return path


@pytest.mark.parametrize("schema", [1, 2])
def test_a_gallery_of_an_earlier_schema_keeps_everybody_and_is_sealed(tmp_path, schema):
    path = tmp_path / "gallery.sqlite"
    application_id = gallery_layout(KeyFile(tmp_path / "none")).application_id
    with closing(sqlite3.connect(path, isolation_level=None)) as rows:
        for statement in PLAIN[0]:
            rows.execute(statement)
        rows.execute(f"PRAGMA application_id = {application_id}")
        rows.execute(f"PRAGMA user_version = {schema}")
        rows.execute("UPDATE model SET model_id = ?, size = 32", (OLD,))
        rows.execute("INSERT INTO subject VALUES ('01', 'Ada', 'ada', '2026-11-22')")
        rows.execute(
            "INSERT INTO reference (subject_id, vector, enrolled_on) VALUES ('01', ?, '2026')",
            (embedding(1).vector.tobytes(),),
        )
        if schema == 2:
            for statement in PLAIN[1]:
                rows.execute(statement)
            rows.execute(
                "INSERT INTO crop VALUES (7, '01', 'a-geometry/v1', ?)", (crop(1).tobytes(),)
            )
            rows.execute("UPDATE reference SET crop_id = 7")
    before = everything_in(tmp_path)
    with GalleryStore(path, OLD) as gallery:
        np.testing.assert_array_equal(gallery.load().matrix, embedding(1).vector[np.newaxis])
        assert [(each.name, each.references) for each in gallery.people()] == [("Ada", 1)]
        assert gallery.find("ADA").enrolled_on == "2026-11-22"
        # What lay open is sealed now, also in what SQLite left of the old tables.
        pixels = [crop(1).tobytes()[:16]] if schema == 2 else []
        for lies_open in (b"Ada", embedding(1).vector.tobytes()[:16], *pixels):
            assert lies_open in before
            assert lies_open not in everything_in(tmp_path)


def test_an_unprepared_model_is_still_refused(path):
    with pytest.raises(GalleryModelMismatchError):
        GalleryStore(path, NEW)


def test_a_prepared_gallery_serves_both_models_each_with_its_own(path):
    with Succession(path) as gallery:
        assert gallery.left_out(NEW, GEOMETRY) == ("Eve",)
        assert gallery.prepare(NEW, GEOMETRY, by_new_model) == 1
        assert gallery.prepare(NEW, GEOMETRY, by_new_model) == 0
    with GalleryStore(path, NEW) as gallery:
        wanted = by_new_model(crop(1)).vector
        np.testing.assert_array_equal(gallery.load().matrix, wanted[np.newaxis])
        assert {each.name: each.references for each in gallery.people()} == {"Ada": 1, "Eve": 0}
        gallery.enrol("Eve", [embedding(5, NEW, 48)])
    with GalleryStore(path, OLD) as gallery:
        assert gallery.load().matrix.shape == (2, 32)


def test_a_door_that_runs_is_not_disturbed_by_the_preparation(path):
    with GalleryStore(path, OLD) as door:
        before = door.load()
        with Succession(path) as gallery:
            gallery.prepare(NEW, GEOMETRY, by_new_model)
        np.testing.assert_array_equal(door.load().matrix, before.matrix)


def test_crops_of_another_geometry_are_of_no_use(path):
    with Succession(path) as gallery:
        assert gallery.left_out(NEW, "another/v2") == ("Ada", "Eve")
        assert gallery.prepare(NEW, "another/v2", by_new_model) == 0


def test_an_embedding_of_another_model_changes_nothing(path):
    with Succession(path) as gallery, pytest.raises(GalleryModelMismatchError):
        gallery.prepare(NEW, GEOMETRY, lambda _: embedding(1, OLD))
    with pytest.raises(GalleryModelMismatchError):
        GalleryStore(path, NEW)


@pytest.mark.parametrize("act", ["forget", "retain"])
def test_what_is_erased_leaves_nothing_that_opens(path, act):
    with closing(sqlite3.connect(path)) as rows:
        (vector,) = rows.execute("SELECT vector FROM reference WHERE crop_id").fetchone()
        key, kept = rows.execute(
            "SELECT key, substr(pixels, 1, 64) FROM crop JOIN subject USING (subject_id) "
            "JOIN subject_key USING (slot)"
        ).fetchone()
    with Succession(path) as gallery:
        gallery.prepare(NEW, GEOMETRY, by_new_model)
    assert all(each in everything_in(path.parent) for each in (vector, key, kept))
    if act == "forget":
        with GalleryStore(path, NEW) as gallery:
            gallery.forget("Ada")
        assert key not in everything_in(path.parent)
    if act == "retain":
        GalleryStore(path, NEW).close()
        with Succession(path) as gallery:
            assert gallery.retain({NEW}) == 2
        assert vector not in everything_in(path.parent)
        assert key in everything_in(path.parent), "Ada is still enrolled"
        assert kept in everything_in(path.parent)


def everything_in(directory):
    return b"".join(each.read_bytes() for each in directory.iterdir())


def test_a_gallery_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(GalleryError, match="there is no gallery"):
        Succession(tmp_path / "gallery.sqlite")
    assert list(tmp_path.iterdir()) == []
