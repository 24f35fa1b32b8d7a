"""`janus evaluate`: any encoder on any pictures, with the evidence behind every figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.errors import ConfigError
from train.datasets import read_lfw_pairs
from train.encoders import open_encoder
from train.evaluate import Verification, by_group, honest_lines, lfw_ten_folds, verify
from train.framing import frame
from train.readers import READERS
from train.report import verification_section, write_report

# Every two pictures are compared: 6,000 give 18 million scores, and more do not fit in memory.
_MOST_PICTURES = 6000


def measure(
    encoder: Path,
    pictures: Path,
    *,
    layout: str,
    frames: str,
    subjects: Sequence[str] | None = None,
    pairs: Path | None = None,
    report: Path | None = None,
) -> Verification | None:
    """Measure *encoder* on *pictures*, print the figures, and write *report* if it is named.

    With *pairs* (LFW) the comparisons are those of the file, and nothing else is measured.

    Raises:
        ConfigError: if nobody of *subjects* is there, or there are too many pictures.
        DataSetError, TooFewComparisonsError: if the pictures do not suffice.
    """
    index = READERS[layout](pictures)
    if subjects is not None:
        if missing := sorted(set(subjects) - set(index.subjects)):
            raise ConfigError(f"--subjects: {', '.join(missing)} are not in {pictures}")
        index = index.only(subjects)
    if pairs is None and len(index.pictures) > _MOST_PICTURES:
        raise ConfigError(
            f"{len(index.pictures):,} pictures give too many comparisons at once; name fewer "
            f"people with --subjects ({_MOST_PICTURES:,} pictures at most)"
        )
    encode = open_encoder(encoder)
    crops = frame(index, frames)
    embeddings = encode(crops.pixels)
    paths = [each.path for each in crops.index.pictures]
    if pairs is not None:
        found, missed = lfw_ten_folds(embeddings, paths, read_lfw_pairs(pairs))
        error = found.high - found.rate
        print(f"LFW, 10 folds: accuracy {found.rate:.2%} ± {error:.2%} (standard error)")
        print(f"  {missed} pairs have a picture without a face and count as wrong")
        return None
    verified = verify(embeddings, crops.numbers)
    lines = honest_lines(verified)
    groups = by_group(embeddings, crops.numbers, [each.source for each in crops.index.pictures])
    if len(groups) > 1:
        lines += [f"  EER {rate:.2%} of {people} people in {name}" for name, rate, people in groups]
    if skipped := len(crops.index.refused):
        lines.append(f"  {skipped} pictures were skipped: unreadable, or no one clear face")
    print("\n".join(lines))
    if report is not None:
        section = verification_section(str(pictures), lines, crops, embeddings, verified)
        report.parent.mkdir(parents=True, exist_ok=True)
        write_report(report, f"Evaluation of {encoder}", [section])
        print(f"wrote {report}")
    return verified
