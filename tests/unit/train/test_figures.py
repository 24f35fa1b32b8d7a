"""The pictures of a report: what they show can be told from their numbers."""

import cv2
import numpy as np

from train.data.datasets import Index, Picture
from train.data.framing import Crops
from train.measuring.evaluate import honest_lines, verify
from train.measuring.figures import det_and_roc, embedding_map, hardest, histograms, ways_grid
from train.measuring.metrics import compare_all
from train.measuring.report import verification_section, write_report


def size(png):
    height, width = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


def drawn(people, each, spread=0.6):
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(people), each)
    centres = rng.normal(size=(people, 16))
    rows = centres[numbers] + spread * rng.normal(size=(people * each, 16))
    return rows.astype(np.float32), numbers


def test_hardest_pairs_are_those_of_all_pairs_sorted():
    embeddings, numbers = drawn(12, 5)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(60, k=1)
    scores = (unit @ unit.T)[first, second]
    for mated in (True, False):
        wanted = (numbers[first] == numbers[second]) == mated
        expected = np.sort(scores[wanted]) if mated else np.sort(scores[wanted])[::-1]
        found = hardest(embeddings, numbers, mated=mated, count=8)
        np.testing.assert_allclose([score for *_, score in found], expected[:8], rtol=1e-4)
        assert all((numbers[one] == numbers[other]) == mated for one, other, _ in found)


def test_grid_of_very_many_people_stays_a_page(monkeypatch):
    monkeypatch.setattr("train.measuring.figures._MOST_SHOWN", 7)
    crops = np.zeros((40, 16, 16, 3), np.uint8)
    embeddings, numbers = drawn(20, 2)
    few = ways_grid(crops[:14], embeddings[:14], numbers[:14], seed=0)
    assert size(ways_grid(crops, embeddings, numbers, seed=0)) == size(few)


def test_figures_of_people_without_an_error_can_be_drawn():
    """No zero on a logarithmic axis, no empty histogram."""
    embeddings = np.eye(6, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    compared = compare_all(embeddings, np.array([0, 0, 1, 1, 2, 2]))
    assert size(det_and_roc(compared))[0] > 500
    assert size(histograms(compared, {"0.1": 0.5, "0.01": 0.51}))[0] > 500
    assert size(embedding_map(embeddings, np.array([0, 0, 1, 1, 2, 2]), ("a", "b", "c")))[0] > 500


def test_report_of_an_evaluation_holds_every_picture_and_names_the_hardest_files(tmp_path):
    embeddings, numbers = drawn(6, 3)
    pictures = tuple(
        Picture(f"p{number}/{at}.png", f"p{number}", "x", lambda: None)
        for at, number in enumerate(numbers)
    )
    crops = Crops(Index(pictures), np.zeros((18, 112, 112, 3), np.uint8))
    found = verify(embeddings, numbers)
    section = verification_section("x", honest_lines(found), crops, embeddings, found)
    write_report(tmp_path / "page.html", "x", [section])
    page = (tmp_path / "page.html").read_text()
    captions = [caption.lower() for caption, _ in section.pictures]
    for word in ("error rates", "thresholds", "probe", "lowest scores", "highest scores", "embed"):
        assert sum(word in each for each in captions) == 1, word
    assert page.count("data:image/png;base64,") == 6
    assert "http" not in page
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6
    assert not list(tmp_path.glob("*.partial"))
