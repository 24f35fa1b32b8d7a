"""`janus demo` as a user runs it: the shipped bundle, real photographs, a film and a report."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from policies import EVIDENCE

from edge.cli import main
from edge.config import SHIPPED_BUNDLE, DecisionConfig, DoorConfig
from edge.demo import walk
from edge.demo.portraits import garage_photo
from edge.demo.session import FALSE_ACCEPT_PER_VISIT, Stages, open_stages
from edge.demo.visitor import VISIT_S, Visit, VisitorCamera
from edge.haar import HaarDetector
from edge.testing import StubEmbedder
from edge.vocabulary import OperatingPoint

pytest.importorskip("skimage", reason="the photographs ship with scikit-image ([demo])")
shipped = pytest.mark.skipif(
    not (SHIPPED_BUNDLE / "manifest.json").is_file(), reason="no bundle in edge/model yet"
)


@shipped
@pytest.mark.slow
def test_the_demo_lets_the_astronaut_in_and_nobody_else(tmp_path, capfd):
    """The promise of `make demo`: exit code, live log, film, report."""
    out = tmp_path / "demo-out"
    code = main(["demo", "--out", str(out)])
    said = capfd.readouterr()
    assert code == 0, said.out
    assert "OpenCV" not in said.err
    assert said.out.count("GRANT astronaut") == 1
    assert "DENY" in said.out
    assert "for the astronaut and for none of 3 strangers" in said.out
    film = cv2.VideoCapture(str(out / "demo.webm"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) > 300
    film.release()
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "✕</td>" not in report
    assert report.count('class="mark granted"') == 1
    assert sorted(path.name for path in out.iterdir()) == ["demo.webm", "report.html"]


@pytest.mark.slow
def test_the_demo_fails_when_the_encoder_takes_everybody_for_the_astronaut(
    tmp_path, monkeypatch, capsys
):
    """An encoder that has collapsed must not pass: the exit code is not decoration."""
    point = OperatingPoint(0.5, 0.01, 0.02, 1000, 100, "made up")
    bundle = SimpleNamespace(name="collapsed", operating_point=point, evidence=EVIDENCE)
    embedder = StubEmbedder([np.array([1.0, 0.0])])
    config = DoorConfig(decision=DecisionConfig(false_accept_per_visit=FALSE_ACCEPT_PER_VISIT))
    detector = HaarDetector(60)
    stages = Stages(config, bundle, embedder, detector)
    monkeypatch.setattr(walk, "plan", lambda: (Visit("eve", walk.stranger(26), 0.0),))
    assert walk.run(stages, tmp_path) == 1
    assert "eve was let in as astronaut" in capsys.readouterr().out


@shipped
def test_every_chosen_stranger_is_found_and_judged():
    """A stranger whom the detector misses would prove nothing by staying outside."""
    stages = open_stages()
    for visit in walk.plan():
        camera = VisitorCamera(garage_photo(), (visit,), visit.begins_s + VISIT_S)
        frame = camera.frame(round((visit.begins_s + VISIT_S / 2) * 15))
        assert stages.enroller.embed(frame.pixels).vector.size, visit.label
