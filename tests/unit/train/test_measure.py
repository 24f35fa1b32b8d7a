"""`janus evaluate` from the command line: any encoder, detector, group and layout, or a reason."""

import csv
import importlib.util
import json
import zipfile
from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.align import TEMPLATE
from edge.config import SHIPPED_BUNDLE, DetectorConfig
from edge.errors import ConfigError
from edge.vocabulary import Box, Detection
from train.cli import COMMANDS
from train.data.cutting import DOOR_VIEW, Cut, cut_face, cut_faces, detector_opener, recut
from train.data.datasets import Index, Picture, read_att, read_crops, read_folder
from train.errors import DataSetError, TooFewComparisonsError
from train.measuring.embedding import EmbeddingCache, embed_cuts
from train.measuring.encoders import Encoder, open_encoder
from train.measuring.metrics import compare_all, unit_rows
from train.measuring.peers import DLIB_VIEW

BUNDLE = SHIPPED_BUNDLE


def evaluate(*words):
    """Run the command as `janus evaluate` does."""
    command = next(each for each in COMMANDS if each.name == "evaluate")
    parser = ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(each) for each in words]))


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archived crops: 60 strangers with an age, six named people with three pictures each."""
    directory, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    rows = [("", "old" if at % 2 else "young") for at in range(60)]
    rows += [(f"p{at // 3}", "") for at in range(18)]
    with (
        zipfile.ZipFile(directory / "drawn.zip", "w") as archive,
        (directory / "index.csv").open("w", newline="") as lines,
    ):
        writer = csv.writer(lines)
        writer.writerow(["file", "source", "subject", "age"])
        for at, (subject, age) in enumerate(rows):
            small = rng.integers(0, 255, (9, 9, 3), np.uint8)
            crop = cv2.resize(small, (144, 144), interpolation=cv2.INTER_CUBIC)
            archive.writestr(f"drawn/{at}.png", cv2.imencode(".png", crop)[1].tobytes())
            writer.writerow([f"drawn/{at}.png", "drawn", subject, age])
    return directory


def test_int8_bundle_is_measured_on_crops_with_figures_in_a_file(archives, tmp_path, capsys):
    words = ("--data", archives, "--layout", "crops", "--figures", tmp_path / "figures.json")
    assert evaluate(BUNDLE, *words) == 0
    assert "6 people, 18 pictures" in capsys.readouterr().out
    held = json.loads((tmp_path / "figures.json").read_text())
    assert held["verification"]["mated"] == 18
    assert held["lfw"] is None


def test_strangers_are_measured_by_group_at_a_threshold(archives, capsys):
    """One picture a person: false matches are all that can be counted, and that is said."""
    words = ("--data", archives, "--layout", "crops", "--strangers", "--group", "age")
    index = [
        each for each in read_crops(archives, strangers=True).pictures if "/p" not in each.subject
    ]
    unit = unit_rows(open_encoder(BUNDLE)(np.stack([each.load() for each in index])))
    threshold = float(np.median(compare_all(unit, np.arange(len(unit))).scores))
    assert evaluate(BUNDLE, *words, "--threshold", f"{threshold}") == 0
    printed = capsys.readouterr().out
    assert f"within each group, at threshold {threshold:.3f}" in printed
    assert printed.count("of 435 comparisons, 30 people") == 2
    assert "FNMR: nobody has a second picture" in printed


def test_strangers_without_a_group_cannot_be_measured(tmp_path):
    for name in ("ada", "eve"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), np.full((112, 112, 3), 90, np.uint8))
    with pytest.raises(TooFewComparisonsError, match="--group COLUMN --threshold COSINE"):
        evaluate(BUNDLE, "--data", tmp_path, "--frames", "whole")


def test_options_that_do_not_fit_are_refused(archives, tmp_path):
    with pytest.raises(ConfigError, match="--strangers is for archives"):
        evaluate(BUNDLE, "--data", tmp_path, "--strangers")
    with pytest.raises(ConfigError, match="--detector is for --frames aligned"):
        evaluate(BUNDLE, "--data", archives, "--layout", "crops", "--detector", "haar")
    with pytest.raises(ConfigError, match="yunet needs the path"):
        evaluate(BUNDLE, "--data", tmp_path, "--detector", "yunet")
    with pytest.raises(SystemExit):
        evaluate(BUNDLE, "--data", tmp_path, "--threshold", "2")


def test_more_pictures_than_can_be_compared_is_refused_before_any_is_embedded(
    archives, monkeypatch
):
    monkeypatch.setattr("train.measuring.measure._MOST_PICTURES", 10)
    monkeypatch.setattr("train.measuring.measure.embed_cuts", None)
    with pytest.raises(ConfigError, match="or groups with --group"):
        evaluate(BUNDLE, "--data", archives, "--layout", "crops")


def test_of_many_pictures_only_those_of_a_group_are_embedded(archives, monkeypatch, capsys):
    monkeypatch.setattr("train.measuring.measure._MOST_PICTURES", 10)
    words = ("--data", archives, "--layout", "crops", "--strangers", "--group", "age")
    assert evaluate(BUNDLE, *words, "--threshold", "0.1") == 0
    assert "EER" not in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["haar", "janus"])
def test_every_detector_of_ours_stands_in_front(shared_data, tmp_path, backend, capsys):
    att = tmp_path / "att"
    for person in ("s1", "s2"):
        (att / person).mkdir(parents=True)
        for number in range(1, 4):
            source = shared_data / "att-faces" / person / f"{number}.pgm"
            (att / person / source.name).write_bytes(source.read_bytes())
    assert evaluate(BUNDLE, "--data", att, "--layout", "att", "--detector", backend) == 0
    assert "2 people, 6 pictures" in capsys.readouterr().out


def test_lfw_pairs_are_measured_with_the_whole_chain_in_front(shared_data, tmp_path, capsys):
    """Four people of AT&T play LFW: two folds of two mated and two non-mated pairs each."""
    for person in range(1, 5):
        name = f"Person_{person}"
        (tmp_path / name).mkdir()
        for number in (1, 2, 3):
            grey = cv2.imread(str(shared_data / "att-faces" / f"s{person}" / f"{number}.pgm"))
            cv2.imwrite(str(tmp_path / name / f"{name}_{number:04d}.png"), grey)
    lines = ["2\t2"]
    for first in (1, 3):
        one, other = f"Person_{first}", f"Person_{first + 1}"
        lines += [f"{one}\t1\t2", f"{other}\t1\t2"]
        lines += [f"{one}\t1\t{other}\t1", f"{one}\t2\t{other}\t2"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    words = ("--data", tmp_path, "--layout", "lfw", "--pairs", tmp_path / "pairs.txt")
    assert evaluate(BUNDLE, *words) == 0
    printed = capsys.readouterr().out
    assert "4 mated and 4 non-mated pairs" in printed
    assert "standard error" in printed
    assert "cannot support FMR 0.01; need 3,000" in printed


class TwoFaces:
    """A detector that sees a large face aside and a small one in the middle."""

    def detect(self, pixels):
        landmarks = TEMPLATE / 112
        middle = (pixels.shape[1] / 2, pixels.shape[0] / 2)
        aside = Detection(Box(0, 0, 80, 80), np.float32(landmarks * 80), 1.0)
        central = Detection(
            Box(middle[0] - 35, middle[1] - 35, middle[0] + 35, middle[1] + 35),
            np.float32(landmarks * 70 + np.array(middle) - 35),
            1.0,
        )
        return (aside, central)


def test_central_face_is_taken_where_the_protocol_says_so():
    pixels = np.zeros((200, 200, 3), np.uint8)
    pixels[65:135, 65:135] = 255
    picture = Picture("x", "x", "x", lambda: pixels)
    assert cut_face(picture, TwoFaces()).reason == "2 faces: who is meant?"
    cut = cut_face(picture, TwoFaces(), central=True)
    assert cut.crop[56, 56].tolist() == [255, 255, 255]


def test_cuts_come_in_order_and_wait_for_whoever_takes_them(shared_data):
    index = read_att(shared_data / "att-faces")
    loaded = []

    def watched(picture):
        return Picture(
            picture.path,
            picture.subject,
            picture.source,
            lambda: loaded.append(picture.path) or picture.load(),
        )

    cuts = cut_faces(Index(tuple(watched(each) for each in index.pictures)))
    first = [next(cuts).picture.path for _ in range(3)]
    cuts.close()
    assert first == [each.path for each in index.pictures[:3]]
    assert len(loaded) < 100, "400 crops at once would be held for nobody"


def test_crop_cut_again_keeps_the_landmarks_where_the_view_has_them():
    """A dot on each landmark of a 112 and of a 144 crop comes to lie on the view's."""
    for margin in (0, 16):
        crop = np.zeros((112 + 2 * margin,) * 2 + (3,), np.uint8)
        for x, y in np.rint(TEMPLATE + margin).astype(int):
            cv2.circle(crop, (int(x), int(y)), 3, (255, 255, 255), -1)
        seen = recut(crop, DLIB_VIEW)
        assert seen.shape == (150, 150, 3)
        for x, y in np.rint(DLIB_VIEW.template).astype(int):
            assert seen[y - 6 : y + 7, x - 6 : x + 7].max() > 200
        assert recut(crop, DOOR_VIEW).shape == (112, 112, 3)
    with pytest.raises(ValueError, match="112x112 or 144x144"):
        recut(np.zeros((90, 90, 3), np.uint8), DLIB_VIEW)


def test_known_embeddings_are_not_asked_for_again(tmp_path):
    asked = []

    def encode(crops):
        asked.append(len(crops))
        return crops.reshape(len(crops), -1)[:, :4].astype(np.float32) + 1

    encoder = Encoder(encode, "a net")
    crops = np.random.default_rng(0).integers(0, 255, (70, 112, 112, 3), np.uint8)
    cuts = [Cut(Picture(f"{at}", f"{at}", "x", lambda: None), crops[at]) for at in range(70)]
    first = embed_cuts(cuts, encoder, count=70, keep_crops=False, cache=tmp_path)
    assert sum(asked) == 70
    second = embed_cuts(cuts, encoder, count=70, keep_crops=True, cache=tmp_path)
    assert sum(asked) == 70
    np.testing.assert_array_equal(first.embeddings, second.embeddings)
    np.testing.assert_array_equal(second.crops.pixels, crops)
    assert first.crops is None
    EmbeddingCache(tmp_path, Encoder(encode, "another net")).embed(encoder, crops[:1])
    assert sum(asked) == 71, "another encoder has a file of its own"


def test_damaged_cache_says_what_to_remove(tmp_path):
    encoder = Encoder(lambda crops: crops, "a net")
    cache = EmbeddingCache(tmp_path, encoder)
    cache._path.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="remove it"):
        EmbeddingCache(tmp_path, encoder)


def test_peer_in_onnx_knows_a_face_again(shared_data):
    peer = shared_data.parent / "peers" / "mobilefacenet.onnx"
    if not peer.is_file():
        pytest.skip(f"the peer encoder is not at {peer}")
    encoder = open_encoder(peer)
    unit = _few_faces(shared_data, encoder)
    assert unit[0] @ unit[1] > 0.6 > unit[0] @ unit[2]


@pytest.mark.tf
def test_file_that_is_no_face_encoder_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(ConfigError, match="no network that OpenCV can read"):
        open_encoder(tmp_path / "x.onnx")
    (tmp_path / "x.keras").write_bytes(b"x")
    with pytest.raises(ConfigError, match="no encoder that Keras can load"):
        open_encoder(tmp_path / "x.keras")


@pytest.mark.skipif(
    not (importlib.util.find_spec("dlib") and importlib.util.find_spec("face_recognition_models")),
    reason="dlib is not installed: pip install 'janus-door[peers]'",
)
def test_dlib_knows_a_face_again_at_its_published_threshold(shared_data):
    """Euclidean distance 0.6 is dlib's own threshold; 130 ms a face, so few of them."""
    encoder = open_encoder(Path("dlib"))
    rows = _few_faces(shared_data, encoder, unit=False)
    assert rows.shape == (3, 128)
    assert np.linalg.norm(rows[0] - rows[1]) < 0.6 < np.linalg.norm(rows[0] - rows[2])


def test_dlib_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"janus-door\[peers\]"):
        open_encoder(Path("dlib"))


def _few_faces(shared_data, encoder, *, unit=True):
    """Return embeddings of one person twice and another once (FRLL), cut for the encoder."""
    frll = shared_data / "frll"
    people = sorted(each for each in frll.iterdir() if each.is_dir())
    paths = [people[0] / "neutral_front.jpg", people[0] / "smiling_front.jpg"]
    paths.append(people[3] / "neutral_front.jpg")
    pictures = {each.path: each for each in read_folder(frll).pictures}
    detector = detector_opener(DetectorConfig())()
    cuts = [
        cut_face(pictures[str(path.relative_to(frll))], detector, view=encoder.view)
        for path in paths
    ]
    rows = encoder(np.stack([each.crop for each in cuts]))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows


def test_pictures_without_faces_say_so(tmp_path):
    for name in ("ada", "eve"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), np.full((112, 92), 128, np.uint8))
    with pytest.raises(DataSetError, match="no face was found in 2 pictures"):
        evaluate(BUNDLE, "--data", tmp_path)
