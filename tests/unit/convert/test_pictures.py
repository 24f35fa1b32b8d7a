"""Which pictures a conversion rests on."""

from __future__ import annotations

import csv
import io
import zipfile

import cv2
import numpy as np
import pytest

pytest.importorskip("tqdm", reason="needs the workstation extra")

from convert import pictures
from convert.pictures import evenly, read_index, read_pictures, thinned
from train.data.datasets import Index, Picture
from train.errors import DataSetError


@pytest.fixture
def archives(tmp_path, crops, numbers):
    """Crop archives of two sources, 144x144 with a margin; one row of each has no subject."""
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(["file", "source", "subject", "detector_score"])
    for source in ("one", "two"):
        with zipfile.ZipFile(tmp_path / f"{source}.zip", "w") as archive:
            for at, (crop, number) in enumerate(zip(crops[:24], numbers, strict=False)):
                wide = cv2.copyMakeBorder(crop[..., ::-1], 16, 16, 16, 16, cv2.BORDER_REFLECT)
                name = f"{source}/{at:06d}.png"
                archive.writestr(name, cv2.imencode(".png", wide)[1].tobytes())
                table.writerow([name, source, "" if at == 0 else f"p{number}", 0.9])
    (tmp_path / "index.csv").write_text(rows.getvalue(), encoding="utf-8")
    return tmp_path


def test_crops_are_taken_as_they_are(photos, crops, numbers):
    read = read_pictures(photos)
    np.testing.assert_array_equal(read.crops.pixels, crops)
    np.testing.assert_array_equal(read.crops.numbers, numbers)


def test_margin_of_crop_archives_is_cut_off(archives, crops):
    read = read_pictures(archives)
    place = next(i for i, each in enumerate(read.crops.index.pictures) if "/p" in each.subject)
    np.testing.assert_array_equal(read.crops.pixels[place], crops[1])


def test_nameless_rows_of_crop_archives_are_a_stranger_each(archives):
    """They make non-mated pairs: celebrities alone say too little about who comes to a door."""
    index = read_pictures(archives).crops.index
    named = tuple(each for each in index.subjects if "/p" in each)
    assert named == tuple(f"{s}/p{n}" for s in ("one", "two") for n in range(4))
    strangers = [each for each in index.pictures if each.subject not in named]
    assert len(index.pictures) - len(strangers) == 2 * 23
    assert strangers
    assert all(each.subject == each.path for each in strangers)


def test_only_wanted_subjects_are_read(photos, crops):
    read = read_pictures(photos, ("person3",))
    np.testing.assert_array_equal(read.crops.pixels, crops[18:24])


def test_data_id_names_and_counts_and_changes_with_any_pixel_or_name(photos):
    def fingerprint(read):
        return read.data_id.rpartition(" ")[2]

    read = read_pictures(photos)
    assert read.data_id.startswith(f"{photos.name}: 7 people, 42 crops, sha256 ")
    assert fingerprint(read) == fingerprint(read_pictures(photos))
    assert fingerprint(read) != fingerprint(read_pictures(photos, [f"person{n}" for n in range(6)]))
    touched = read_pictures(photos)
    touched.crops.pixels[7, 50, 50, 1] ^= 1
    assert fingerprint(read) != fingerprint(touched)


def test_large_sets_are_thinned_evenly_by_person(photos):
    index = thinned(read_index(photos), 21)
    assert len(index.pictures) == 21
    counted = [len(index.only([each]).pictures) for each in index.subjects]
    assert counted == [3] * 7


def test_thinning_leaves_everybody_a_mated_comparison(photos):
    index = thinned(read_index(photos), 5)
    assert [len(index.only([each]).pictures) for each in index.subjects] == [2] * 7


def picture(path, subject):
    return Picture(path, subject, "toys", load=lambda: None)


def test_crowd_of_strangers_is_thinned_too():
    """22,000 strangers would make 250 million comparisons, and need 14 GB."""
    known = [picture(f"{n}/{at}", f"p{n}") for n in range(300) for at in range(20)]
    crowd = [picture(f"z{n}", f"z{n}") for n in range(22_000)]
    index = thinned(Index((*known, *crowd)), 1500)
    mated = [each for each in index.subjects if each.startswith("p")]
    assert len(mated) == 300
    assert 1400 <= len(index.pictures) <= 1500
    assert len(index.subjects) - len(mated) >= 750


def test_many_people_are_thinned_to_two_pictures_each():
    people = [picture(f"{n}/{at}", f"p{n}") for n in range(4000) for at in range(3)]
    index = thinned(Index(tuple(people)), 1500)
    assert (len(index.subjects), len(index.pictures)) == (750, 1500)


def test_small_sets_are_left_alone(photos):
    assert thinned(read_index(photos), 42) == read_index(photos)


@pytest.mark.parametrize(("count", "most"), [(10, 4), (4, 4), (3, 4), (1000, 7)])
def test_evenly_spread_rows_are_distinct_and_reach_both_ends(count, most):
    rows = evenly(count, most)
    assert len(rows) == len(set(rows)) == min(count, most)
    assert (rows[0], rows[-1]) == (0, count - 1)


def test_representative_crops_are_limited(photos, monkeypatch):
    monkeypatch.setattr(pictures, "REPRESENTATIVE_PICTURES", 5)
    assert read_pictures(photos).representative.shape == (5, 112, 112, 3)


def test_mixture_of_crops_and_photos_is_refused(tmp_path, crops):
    for person in "ab":
        (tmp_path / person).mkdir()
        for at in range(2):
            cv2.imwrite(str(tmp_path / person / f"{at}.png"), crops[at])
    cv2.imwrite(str(tmp_path / "b" / "photo.png"), np.zeros((480, 640, 3), np.uint8))
    with pytest.raises(DataSetError, match=r"photo\.png is no 112x112 crop"):
        read_pictures(tmp_path)


def test_missing_directory_is_refused(tmp_path):
    with pytest.raises(DataSetError, match="is not a directory"):
        read_index(tmp_path / "none")


def test_photos_go_through_the_edges_alignment(shared_data):
    """AT&T pictures are 92x112: their faces are found and brought to the template."""
    from edge.align import ALIGNMENT  # noqa: F401 - the edge's own, no second implementation

    read = read_pictures(shared_data / "att-faces", ("s31", "s32"))
    assert read.crops.pixels.shape[1:] == (112, 112, 3)
    assert 15 <= len(read.crops.pixels) <= 20
