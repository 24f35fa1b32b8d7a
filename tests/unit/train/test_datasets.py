"""Readers: one index of path, subject and source; nothing is skipped in silence."""

import logging
import zipfile

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.data.cutting import cut_faces
from train.data.datasets import (
    Index,
    natural,
    read_att,
    read_crops,
    read_folder,
    read_lfw,
    read_lfw_pairs,
    readable,
)
from train.data.framing import centre, frame, whole
from train.data.readers import read_celebrities, read_mnist, read_olivetti
from train.errors import DataSetError


def picture(path, size=(20, 16), grey=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), grey, np.uint8))


def att_tree(directory, people=2, each=2):
    for person in range(1, people + 1):
        for number in range(1, each + 1):
            path = directory / f"s{person}" / f"{number}.pgm"
            path.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(100 * person + number)
            cv2.imwrite(str(path), rng.integers(0, 255, (112, 92), np.uint8))


def test_natural_order_puts_s2_before_s10():
    assert sorted(["s10", "s2", "s1"], key=natural) == ["s1", "s2", "s10"]


def test_folder_per_person_names_path_subject_and_source(tmp_path):
    picture(tmp_path / "train" / "ada" / "1.jpg")
    picture(tmp_path / "train" / "ada" / "2.png")
    picture(tmp_path / "test" / "eve" / "1.webp")
    index = read_folder(tmp_path)
    assert {(each.path, each.subject, each.source) for each in index.pictures} == {
        ("train/ada/1.jpg", "ada", "train"),
        ("train/ada/2.png", "ada", "train"),
        ("test/eve/1.webp", "eve", "test"),
    }
    assert index.pictures[0].load().shape == (16, 20, 3)


def test_one_person_in_train_and_test_folders_is_one_subject(tmp_path):
    for part in ("train", "test"):
        picture(tmp_path / part / "ada" / "1.jpg")
        picture(tmp_path / part / "eve" / "1.jpg")
    assert read_folder(tmp_path).subjects == ("ada", "eve")


@pytest.mark.parametrize("people", [(), ("ada",)])
def test_folder_without_two_people_says_which_layout_is_expected(tmp_path, people):
    for name in people:
        picture(tmp_path / name / "1.jpg")
    with pytest.raises(DataSetError, match=r"DIR/ada/1\.jpg"):
        read_folder(tmp_path)


def test_missing_folder_says_so(tmp_path):
    with pytest.raises(DataSetError, match="nowhere"):
        read_folder(tmp_path / "nowhere")


def test_subject_with_one_picture_is_kept_and_named(tmp_path, caplog):
    picture(tmp_path / "ada" / "1.jpg")
    picture(tmp_path / "ada" / "2.jpg")
    picture(tmp_path / "eve" / "1.jpg")
    with caplog.at_level(logging.INFO, "janus.train"):
        index = read_folder(tmp_path)
    assert index.singles() == ("eve",)
    assert "1 subjects have one picture, for non-mated pairs only: eve" in caplog.text


def test_unreadable_picture_is_listed_counted_and_skipped(tmp_path, caplog):
    picture(tmp_path / "ada" / "1.jpg")
    picture(tmp_path / "eve" / "1.jpg")
    (tmp_path / "eve" / "2.jpg").write_bytes(b"not a picture")
    with caplog.at_level(logging.WARNING, "janus.train"):
        kept, pixels = readable(read_folder(tmp_path))
    assert [each.path for each in kept.pictures] == ["ada/1.jpg", "eve/1.jpg"]
    assert len(pixels) == 2
    assert [path for path, _ in kept.refused] == ["eve/2.jpg"]
    assert "eve/2.jpg" in caplog.text


def test_unreadable_pictures_are_named_and_counted_where_pictures_are_cut(tmp_path, caplog):
    for name in ("ada/1.jpg", "eve/1.jpg"):
        picture(tmp_path / name)
    for number in range(12):
        (tmp_path / "eve" / f"broken{number}.jpg").write_bytes(b"not a picture")
    with caplog.at_level(logging.WARNING, "janus.train"):
        crops = frame(read_folder(tmp_path), "whole")
    assert len(crops.pixels) == 2
    (said,) = [each.getMessage() for each in caplog.records]
    assert said.startswith("12 of 14 pictures were skipped. 12 times: cannot be read (eve/broken0")
    assert said.endswith("eve/broken9.jpg …)")


def test_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataSetError, match=r"there is no .*missing; expected one folder"):
        read_folder(tmp_path / "missing")


def test_files_that_are_no_pictures_are_ignored(tmp_path):
    picture(tmp_path / "ada" / "1.jpg")
    picture(tmp_path / "eve" / "1.jpg")
    (tmp_path / "ada" / "notes.txt").write_text("x")
    assert len(read_folder(tmp_path).pictures) == 2


def test_loose_photos_beside_eval_are_no_people(tmp_path):
    picture(tmp_path / "eval" / "ada" / "1.jpg")
    picture(tmp_path / "eval" / "eve" / "1.jpg")
    picture(tmp_path / "sample" / "group.jpg")
    assert read_celebrities(tmp_path).subjects == ("ada", "eve")


def test_att_tree_is_read_in_natural_order(tmp_path):
    att_tree(tmp_path, people=11)
    index = read_att(tmp_path)
    assert index.subjects[:2] == ("s1", "s2")
    assert index.subjects[-1] == "s11"
    assert [each.path for each in index.pictures[:3]] == ["s1/1.pgm", "s1/2.pgm", "s2/1.pgm"]


def test_empty_att_tree_says_which_layout_is_expected(tmp_path):
    with pytest.raises(DataSetError, match=r"DIR/s1/1\.pgm"):
        read_att(tmp_path)


def test_olivetti_offline_is_cut_from_att(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    att_tree(tmp_path / "att")
    index = read_olivetti(tmp_path / "att")
    assert index.pictures[0].source == "att-64x64"
    assert index.pictures[0].load().shape == (64, 64, 3)


def test_olivetti_without_cache_or_att_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    with pytest.raises(DataSetError, match="fetch_olivetti_faces"):
        read_olivetti(tmp_path)


def test_mnist_falls_back_to_the_bundled_digits(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    index = read_mnist(tmp_path)
    assert len(index.pictures) == 1797
    assert index.subjects == tuple(f"digit {each}" for each in range(10))
    assert index.pictures[0].load().max() == 239  # 15 of 16 grey levels


def test_mnist_archive_is_used_where_it_is(tmp_path):
    grey = np.zeros((4, 28, 28), np.uint8)
    np.savez(tmp_path / "mnist.npz", x_train=grey, y_train=np.array([0, 0, 1, 1]))
    assert len(read_mnist(tmp_path).pictures) == 4


def webp(grey, side):
    return cv2.imencode(".webp", np.full((side, side, 3), grey, np.uint8))[1].tobytes()


def test_crops_lose_their_margin_and_those_without_a_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "web.zip", "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(f"web/{name}.webp", webp(100, 144))
    (tmp_path / "index.csv").write_text(
        "file,source,subject\nweb/a.webp,web,ada\nweb/b.webp,web,eve\nweb/c.webp,web,\n"
    )
    index = read_crops(tmp_path)
    assert index.subjects == ("web/ada", "web/eve")
    assert index.pictures[0].load().shape == (112, 112, 3)


def test_member_missing_from_its_archive_is_refused_by_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "web.zip", "w") as archive:
        archive.writestr("web/a.webp", webp(100, 144))
    (tmp_path / "index.csv").write_text(
        "file,source,subject\nweb/a.webp,web,ada\nweb/gone.webp,web,eve\n"
    )
    kept, _ = readable(read_crops(tmp_path))
    assert [path for path, _ in kept.refused] == ["web/gone.webp"]


def test_lfw_archive_and_pairs(tmp_path):
    with zipfile.ZipFile(tmp_path / "lfw.zip", "w") as archive:
        for name in ("Ada_L/Ada_L_0001.webp", "Ada_L/Ada_L_0002.webp", "Eve_M/Eve_M_0001.webp"):
            archive.writestr(name, webp(100, 40))
    (tmp_path / "pairs.txt").write_text("1\t1\nAda_L\t1\t2\nAda_L\t1\tEve_M\t1\n")
    assert read_lfw(tmp_path / "lfw.zip").subjects == ("Ada_L", "Eve_M")
    assert read_lfw_pairs(tmp_path / "pairs.txt") == [
        ("Ada_L_0001", "Ada_L_0002", True, 0),
        ("Ada_L_0001", "Eve_M_0001", False, 0),
    ]


def test_lfw_pairs_of_another_shape_name_the_line(tmp_path):
    (tmp_path / "pairs.txt").write_text("1\t1\nAda_L\t1\t2\nAda_L\n")
    with pytest.raises(DataSetError, match="line 3"):
        read_lfw_pairs(tmp_path / "pairs.txt")


def test_no_archive_is_refused(tmp_path):
    (tmp_path / "lfw.zip").write_bytes(b"x")
    with pytest.raises(DataSetError, match=r"lfw\.zip"):
        read_lfw(tmp_path / "lfw.zip")


def test_whole_keeps_every_pixel_of_an_att_picture():
    pixels = np.random.default_rng(0).integers(0, 255, (112, 92, 3), np.uint8)
    crop = whole(pixels)
    assert (crop[:, 10:102] == pixels).all()
    assert not crop[:, :10].any()
    assert not crop[:, 102:].any()


@pytest.mark.parametrize("shape", [(28, 28, 3), (300, 100, 3), (50, 400, 3), (1, 1, 3)])
def test_every_framing_gives_a_crop(shape):
    pixels = np.full(shape, 77, np.uint8)
    for framing in (whole, centre):
        crop = framing(pixels)
        assert crop.shape == (112, 112, 3)
        assert crop.max() == 77
    assert centre(pixels).min() == 77, "the centre has no border"


def test_crops_keep_picture_and_subject_together(tmp_path):
    for grey, name in ((10, "ada"), (20, "eve"), (30, "mia")):
        picture(tmp_path / name / "1.png", size=(112, 112), grey=grey)
    crops = frame(read_folder(tmp_path), "whole").only(("mia", "ada"))
    assert crops.pixels[:, 0, 0, 0].tolist() == [10, 30]
    assert crops.numbers.tolist() == [0, 1]


def test_unknown_framing_is_refused(tmp_path):
    picture(tmp_path / "ada" / "1.png")
    picture(tmp_path / "eve" / "1.png")
    with pytest.raises(ConfigError, match="expected one of aligned, whole, centre"):
        frame(read_folder(tmp_path), "square")


def test_olivetti_faces_which_fill_their_pictures_are_found(shared_data):
    """64x64 pixels without a margin: the smallest faces that a recipe has."""
    pictures = read_olivetti(shared_data / "att-faces").pictures[::20]
    found = [cut.reason for cut in cut_faces(Index(pictures))]
    assert found == [""] * 20
