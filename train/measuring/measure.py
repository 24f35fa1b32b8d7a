"""`janus evaluate`: any encoder on any pictures, with the evidence behind every figure."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.config import DetectorConfig
from edge.errors import ConfigError
from train.data.cutting import DOOR_VIEW, detector_opener
from train.data.datasets import Index, named_among, read_crops, read_lfw_pairs
from train.data.framing import cuts
from train.data.readers import READERS
from train.errors import TooFewComparisonsError
from train.measuring.embedding import Embedded, embed_cuts
from train.measuring.encoders import Encoder, open_encoder
from train.measuring.evaluate import Verification, honest_lines, verify
from train.measuring.groups import SOURCE, Groups, group_lines, measure_groups, read_column
from train.measuring.lfw import LfwResult, lfw_lines, measure_lfw
from train.measuring.report import Section, skipped_sections, verification_section, write_report

# Every two pictures are compared: 6,000 give 18 million scores, and many more fill the memory.
_MOST_PICTURES = 6000

_LOG = logging.getLogger("janus.train")


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure an encoder on.

    Args:
        pictures: directory, or LFW's archive.
        layout: key of `train.data.readers.READERS`.
        frames: how a picture becomes a crop: `aligned`, `whole` or `centre`.
        detector: aligned only; default: the door's, for faces from 36 px.
        subjects: these people only.
        strangers: crops only: take pictures without a subject, each as a person of its own.
        pairs: LFW's pairs.txt.
        groups: columns to report by; see `train.measuring.groups.read_column`.
        threshold: of the groups' rates; default: the bundle's, else the lowest that the count
            supports.
        cache: directory of embeddings that are known already.
        report: page to write.
        figures: JSON file to write.
    """

    pictures: Path
    layout: str = "folder"
    frames: str = "aligned"
    detector: DetectorConfig | None = None
    subjects: Sequence[str] | None = None
    strangers: bool = False
    pairs: Path | None = None
    groups: Sequence[str] = ()
    threshold: float | None = None
    cache: Path | None = None
    report: Path | None = None
    figures: Path | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured; with one picture a person there are groups only."""

    verification: Verification | None = None
    lfw: LfwResult | None = None
    groups: tuple[Groups, ...] = ()
    refused: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def measure(path: Path, task: Task) -> Found:
    """Measure the encoder at *path* on *task*, print the figures, and write the page if named.

    With *pairs* (LFW) the comparisons are those of the file, and nothing else is measured.

    Raises:
        ConfigError: if one of *subjects* is not there, there are too many pictures, or the task
            asks for what its layout cannot give.
        DataSetError, TooFewComparisonsError: if the pictures do not suffice.
    """
    encoder = open_encoder(path)
    index, note = _index(task, encoder)
    made = cuts(
        index,
        task.frames,
        opener=detector_opener(task.detector, encoder.eyes),
        view=encoder.view,
        central=task.layout == "lfw",
    )
    embedded = embed_cuts(
        made,
        encoder,
        count=len(index.pictures),
        keep_crops=task.report is not None,
        cache=task.cache,
    )
    if task.pairs is not None:
        paths = [each.path for each in embedded.index.pictures]
        lfw = measure_lfw(embedded.embeddings, paths, read_lfw_pairs(task.pairs))
        found = Found(lfw=lfw, refused=embedded.index.refused)
        sections = [Section(str(task.pictures), lfw_lines(lfw))]
    else:
        found, sections = _measure_people(task, encoder, embedded)
    if note:
        sections[0] = replace(sections[0], lines=[note, *sections[0].lines])
    sections += skipped_sections(found.refused)
    for section in sections:
        print("\n".join([section.heading, *section.lines]))
    _write(path, task, found, sections)
    return found


def _index(task: Task, encoder: Encoder) -> tuple[Index, str]:
    """Return what to measure, and a sentence about people whom the encoder was fitted on."""
    if task.layout == "crops":
        wide = encoder.view is not DOOR_VIEW
        index = read_crops(task.pictures, strangers=task.strangers, wide=wide)
    elif task.strangers:
        raise ConfigError(
            f"--strangers is for archives of crops (--layout crops), not {task.layout}"
        )
    else:
        index = READERS[task.layout](task.pictures)
    index, note = _unfitted(task, encoder, index)
    if task.pairs is not None or len(index.pictures) <= _MOST_PICTURES:
        return index, note
    if not task.groups:
        raise ConfigError(
            f"{len(index.pictures):,} pictures give too many comparisons at once; name fewer "
            f"people with --subjects ({_MOST_PICTURES:,} pictures at most), LFW's own pairs with "
            "--pairs, or groups with --group"
        )
    labels = [read_column(task.pictures, index, column) for column in task.groups]
    grouped = [any(each) for each in zip(*labels, strict=True)]
    kept = tuple(each for each, has in zip(index.pictures, grouped, strict=True) if has)
    return Index(kept), note


def _unfitted(task: Task, encoder: Encoder, index: Index) -> tuple[Index, str]:
    """Leave out whom the encoder was fitted on, unless they are asked for by name."""
    # The run's own pictures, if whom it held out is among them; then the others were fitted on.
    held_out = named_among(encoder.held_out, index.subjects)
    if task.subjects is not None:
        if missing := sorted(set(task.subjects) - set(index.subjects)):
            raise ConfigError(f"--subjects: {', '.join(missing)} are not in {task.pictures}")
        fitted = len(set(task.subjects) - set(held_out)) if held_out else 0
        note = f"{fitted} of these people were fitted on: the figures flatter" if fitted else ""
        return index.only(task.subjects), note
    fitted = len(index.subjects) - len(held_out)
    if not held_out or not fitted or task.pairs is not None:
        return index, ""
    return index.only(held_out), (
        f"{len(held_out)} people whom the run held out; the {fitted} others were fitted on and are "
        "left out (--subjects names people to measure all the same)"
    )


def _measure_people(
    task: Task, encoder: Encoder, embedded: Embedded
) -> tuple[Found, list[Section]]:
    """Measure everybody against everybody, then by group."""
    numbers = embedded.numbers
    verified, sections = None, []
    if len(numbers) > _MOST_PICTURES:
        _LOG.warning("%s pictures: measured by group only", f"{len(numbers):,}")
    elif max(Counter(numbers.tolist()).values()) == 1:
        _LOG.warning("nobody has a second picture: only false matches by group can be measured")
    else:
        verified = verify(embedded.embeddings, numbers)
        lines = honest_lines(verified)
        sections.append(
            Section(str(task.pictures), lines)
            if embedded.crops is None
            else verification_section(
                str(task.pictures), lines, embedded.crops, embedded.embeddings, verified
            )
        )
    columns = task.groups
    if not columns and len({each.source for each in embedded.index.pictures}) > 1:
        columns = (SOURCE,)
    if verified is None and not columns:
        raise TooFewComparisonsError(
            f"nobody in {task.pictures} has a second picture, so nothing mated can be compared; "
            "add pictures, or ask for false matches by group: --group COLUMN --threshold COSINE"
        )
    groups = tuple(
        measure_groups(
            embedded.embeddings,
            numbers,
            read_column(task.pictures, embedded.index, column),
            column=column,
            threshold=_threshold(task, encoder, verified),
        )
        for column in columns
    )
    sections += [Section(f"By {each.column}", group_lines(each)) for each in groups]
    return Found(verified, groups=groups, refused=embedded.index.refused), sections


def _threshold(task: Task, encoder: Encoder, verified: Verification | None) -> float:
    """Return the threshold at which groups are compared."""
    if task.threshold is not None:
        return task.threshold
    if encoder.operating_point is not None:
        return encoder.operating_point.threshold
    if verified is not None and verified.threshold:
        return verified.threshold[min(verified.threshold, key=float)]
    raise TooFewComparisonsError(
        "groups are compared at one threshold, and these pictures support none; name one with "
        "--threshold, such as the one that `janus convert` found"
    )


def _write(path: Path, task: Task, found: Found, sections: Sequence[Section]) -> None:
    if task.report is not None:
        task.report.parent.mkdir(parents=True, exist_ok=True)
        write_report(task.report, f"Evaluation of {path}", sections)
        print(f"wrote {task.report}")
    if task.figures is not None:
        held = {
            "verification": found.verification and found.verification.as_dict(),
            "lfw": found.lfw and found.lfw.as_dict(),
            "groups": [each.as_dict() for each in found.groups],
            "skipped": len(found.refused),
        }
        task.figures.parent.mkdir(parents=True, exist_ok=True)
        partial = task.figures.with_name(task.figures.name + ".partial")
        partial.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
        partial.replace(task.figures)
        print(f"wrote {task.figures}")
