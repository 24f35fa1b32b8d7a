"""One HTML page a run, with every picture in it: it opens anywhere, without a network."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.vocabulary import FloatArray
from train.data.framing import Crops
from train.measuring import figures
from train.measuring.evaluate import Verification
from train.measuring.metrics import compare_all

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
pre { background: #f4f4f2; padding: 1rem; overflow-x: auto; font-size: 14px }
img { max-width: 100%; display: block; margin: .5rem 0 1.5rem }
h1, h2 { line-height: 1.2 } figcaption { color: #555 }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, lines of text shown as they are, and pictures with a caption each."""

    heading: str
    lines: Sequence[str] = ()
    pictures: Sequence[tuple[str, bytes]] = ()


def skipped_sections(refused: Sequence[tuple[str, str]]) -> list[Section]:
    """Return a section that counts pictures, (path, reason), that were skipped; none, if none."""
    reasons = Counter(reason for _, reason in refused)
    lines = [f"  {count} times: {reason}" for reason, count in reasons.most_common(10)]
    return [Section(f"{len(refused)} pictures were skipped", lines)] if refused else []


def write_report(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write one self-contained page, and its pictures as PNG files beside it."""
    pictures = path.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    body = []
    number = 0
    for section in sections:
        body.append(f"<h2>{html.escape(section.heading)}</h2>")
        if section.lines:
            body.append(f"<pre>{html.escape(chr(10).join(section.lines))}</pre>")
        for caption, png in section.pictures:
            number += 1
            (pictures / f"{number:02d}.png").write_bytes(png)
            encoded = base64.b64encode(png).decode()
            body.append(
                f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{encoded}">'
                f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{''.join(body)}</html>"
    )
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)


def verification_section(
    heading: str, lines: Sequence[str], crops: Crops, embeddings: FloatArray, found: Verification
) -> Section:
    """Return the section that shows what `verify` measured on *crops*."""
    numbers = crops.numbers
    compared = compare_all(embeddings, numbers)
    pixels = crops.pixels
    names = [each.path for each in crops.index.pictures]
    return Section(
        heading,
        lines,
        (
            (
                "Error rates at every threshold; grey: fewer than 30 errors, too few to rely on",
                figures.det_and_roc(compared),
            ),
            ("Scores, with the thresholds", figures.histograms(compared, found.threshold)),
            (
                "A probe, and its score with one picture of everybody (green: the same person)",
                figures.ways_grid(pixels, embeddings, numbers, seed=0),
            ),
            (
                "One person, lowest scores",
                figures.hardest_pairs(pixels, embeddings, numbers, mated=True, names=names),
            ),
            (
                "Two people, highest scores",
                figures.hardest_pairs(pixels, embeddings, numbers, mated=False, names=names),
            ),
            (
                "Embeddings of these people",
                figures.embedding_map(embeddings, numbers, crops.index.subjects),
            ),
        ),
    )
