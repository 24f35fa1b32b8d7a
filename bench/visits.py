"""False accepts per visit, and genuine visits granted in time, behind the door's own stages.

    python bench/visits.py ../shared/data --cache /tmp/visits
    python bench/visits.py ../shared/data --cache /tmp/visits --correlation
    python bench/visits.py ../shared/data --cache /tmp/visits --film-only

Strangers are people of LFW and FRLL who are not enrolled, one picture each; a visit is that picture
filmed (`bench/visit_pictures.py`). Galleries hold one reference each of people of LFW, first those
with a second picture, who make the genuine visits, of one second. Each stranger visits the gallery
of 1,000, ten disjoint galleries of 100, and ten of 10, for --stay-s. The sequential test is the
door's; its target is what it is asked for. An interval is Clopper and Pearson's, 95 %, of visits; a
stranger's ten are not independent, so theirs is a little too narrow. Nobody of these people was
trained on. What the visits lack is said in `visit_pictures.py`.

--correlation says how alike the frames of a visit are instead: `visit_correlation.py`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from visit_correlation import correlations
from visit_pictures import BoolArray, Studio, Visits

from edge.bundles.bundle import inspect_bundle
from edge.config import SHIPPED_BUNDLE, DecisionConfig
from edge.decide import Policy, VisitState, reachable, step
from edge.match import rank
from edge.pipeline import policy_from
from edge.promise import promise
from edge.vocabulary import (
    Box,
    Decision,
    Detection,
    Embedding,
    FloatArray,
    Gallery,
    Observation,
    ObservedFace,
    Outcome,
)
from train.data.datasets import Picture, read_att, read_folder, read_lfw
from train.measuring.metrics import Interval, clopper_pearson

_PARTS = (100, 10, 1)  # into how many galleries the people are split
_VISITED = 10  # of them, by each stranger
_RULE_OF_THREE = 3  # where none of n happened, its rate is below 3 / n at 95 %
_FACE = Detection(Box(0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """Who is enrolled, who of them comes, and who else does."""

    references: Visits
    genuine: Visits
    strangers: Visits


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures of those who are enrolled, of those of them who come, and of strangers."""

    references: list[Picture]
    genuine: list[Picture]
    strangers: list[Picture]


def draw(data: Path, *, strangers: int, genuine: int, gallery: int, seed: int) -> Drawn:
    """Draw the people."""
    drawn = np.random.default_rng(seed)
    pictures: dict[str, list[Picture]] = {}
    for each in read_lfw(data / "lfw-pairs.zip").pictures:
        pictures.setdefault(each.subject, []).append(each)
    people = [str(each) for each in drawn.permutation(sorted(pictures))]
    people.sort(key=lambda each: len(pictures[each]) < 2)  # stable: keeps the order
    enrolled, others = people[:gallery], people[gallery:]
    back = [each for each in enrolled if len(pictures[each]) > 1]
    back = [str(each) for each in drawn.permutation(back)[:genuine]]
    neutral = [each for each in read_folder(data / "frll").pictures if "neutral" in each.path]
    outside = [pictures[each][0] for each in drawn.permutation(others)] + neutral
    return Drawn(
        [pictures[each][0] for each in enrolled],
        [pictures[each][1] for each in back],
        [outside[at] for at in drawn.permutation(len(outside))[:strangers]],
    )


def gallery_of(references: Visits, rows: Sequence[int], model_id: str) -> Gallery:
    """Return the gallery of some of the references; a picture that is not judged enrols nobody."""
    kept = [row for row in rows if references.usable[row, 0]]
    return Gallery(
        model_id,
        tuple(references.subjects[row] for row in kept),
        references.embeddings[kept, 0].copy(),
    )


def observations(
    embeddings: FloatArray, usable: BoolArray, gallery: Gallery, rate_hz: float
) -> list[Observation]:
    """Return what the door observes of one visit's usable frames, (F, D)."""
    vectors = [vector for vector, judged in zip(embeddings, usable, strict=True) if judged]
    return [
        Observation(
            at / rate_hz,
            (
                ObservedFace(
                    _FACE, (), rank(Embedding(vector.copy(), gallery.model_id), gallery), 1
                ),
            ),
            references=len(gallery.subject_ids),
            in_view=1,
        )
        for at, vector in enumerate(vectors)
    ]


def watched(
    visits: Visits, at: Sequence[int], galleries: Sequence[Gallery], rate_hz: float
) -> list[list[Observation]]:
    """Return the observations of each visit, at the gallery that *at* says; -1: at none."""
    return [
        observations(vectors, usable, galleries[part], rate_hz)
        for vectors, usable, part in zip(visits.embeddings, visits.usable, at, strict=True)
        if part >= 0
    ]


def grants(seen: Sequence[Observation], policy: Policy) -> tuple[Decision | None, Decision | None]:
    """Return the first grant by the face alone and the first with a second factor, if any."""
    state, alone, second = VisitState(), None, None
    for each in seen:
        state, decision = step(state, each, policy)
        if decision.outcome is Outcome.GRANT:
            if decision.needs_second_factor:
                second = second or decision
            else:
                alone = alone or decision
    return alone, second


def count(
    seen: Sequence[Sequence[Observation]], truth: Sequence[str | None], policy: Policy
) -> dict[str, int]:
    """Count visits by what they ended with: as the person who came, or as somebody else."""
    counted = dict.fromkeys(("visits", "alone", "alone_wrong", "second", "second_wrong"), 0)
    for visit, person in zip(seen, truth, strict=True):
        counted["visits"] += 1
        for name, found in zip(("alone", "second"), grants(visit, policy), strict=True):
            if found is not None:
                counted[name if found.subject_id == person else f"{name}_wrong"] += 1
    return counted


@dataclass(frozen=True, slots=True)
class Row:
    """What one gallery's size and one target came to; rates with their 95 % intervals."""

    gallery: int
    target: float
    reachable: float
    strangers: int
    false_accepts: int
    false_accept_rate: Interval
    verdict: str
    strangers_asked_for_pin: int
    genuine: int
    genuine_not_judged: int
    granted_alone: Interval
    granted_alone_or_asked_for_pin: Interval
    granted_as_another: int

    def __str__(self) -> str:
        """Return a row of the table that `HEAD` begins."""
        false, alone = self.false_accept_rate, self.granted_alone
        cells = (
            f"{self.gallery:,}",
            f"{self.target:.0e} ({self.reachable:.1g})",
            f"{self.false_accepts} of {self.strangers:,}",
            f"{false.low:.2%} to {false.high:.2%}",
            self.verdict,
            str(self.strangers_asked_for_pin),
            f"{alone.rate:.1%} ({alone.low:.1%} to {alone.high:.1%}) of {self.genuine}",
            f"{self.granted_alone_or_asked_for_pin.rate:.1%}",
            str(self.granted_as_another),
        )
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| references | target (reachable) | visits of strangers let in | 95 % interval | "
    "the target is | strangers asked for a PIN | genuine granted within 1 s | "
    "the same, or asked for the PIN | granted as another |\n|---|---|---|---|---|---|---|---|---|"
)


def rows(people: Cast, base: Policy, targets: Sequence[float], *, rate_hz: float) -> Iterator[Row]:
    """Yield one row for each gallery's size and target."""
    everybody = range(len(people.references.subjects))
    for parts in _PARTS:
        split = [list(everybody)[part::parts] for part in range(parts)]
        galleries = [gallery_of(people.references, each, base.model_id) for each in split]
        size = len(split[0])

        home = {name: at for at, each in enumerate(galleries) for name in each.subject_ids}
        inside = [home.get(name, -1) for name in people.genuine.subjects]
        outside = len(people.strangers.subjects)
        strangers = [
            visit
            for part in range(min(parts, _VISITED))
            for visit in watched(people.strangers, [part] * outside, galleries, rate_hz)
        ]
        genuine = watched(people.genuine, inside, galleries, rate_hz)
        names = [name for name, at in zip(people.genuine.subjects, inside, strict=True) if at >= 0]
        for target in targets:
            policy = replace(base, false_accept=target)
            wrong = count(strangers, [None] * len(strangers), policy)
            right = count(genuine, names, policy)
            false = clopper_pearson(wrong["alone_wrong"], wrong["visits"])
            judged = [len(visit) >= policy.least_frames for visit in genuine]
            granted = clopper_pearson(right["alone"], max(sum(judged), 1))
            either = clopper_pearson(right["alone"] + right["second"], max(sum(judged), 1))
            yield Row(
                gallery=size,
                target=target,
                reachable=max(reachable(policy, len(each.subject_ids)) for each in galleries),
                strangers=wrong["visits"],
                false_accepts=wrong["alone_wrong"],
                false_accept_rate=false,
                verdict=verdict(target, false.low, false.high, wrong["visits"]),
                strangers_asked_for_pin=wrong["second_wrong"],
                genuine=sum(judged),
                genuine_not_judged=len(judged) - sum(judged),
                granted_alone=granted,
                granted_alone_or_asked_for_pin=either,
                granted_as_another=right["alone_wrong"] + right["second_wrong"],
            )


def verdict(target: float, low: float, high: float, visits: int) -> str:
    """Say what so many visits show about *target*."""
    if low > target:
        return "MISSED: below the interval"
    if high <= target:
        return "kept: above the interval"
    if visits * target < _RULE_OF_THREE:
        return f"in the interval; to show more takes {_RULE_OF_THREE / target:,.0f} visits"
    return "kept: in the interval"


def main() -> None:
    """Print a row as it is known, and write all of them at the end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="directory of lfw-pairs.zip, frll and att-faces")
    parser.add_argument("--bundle", type=Path, default=SHIPPED_BUNDLE)
    parser.add_argument("--strangers", type=int, default=1500)
    parser.add_argument("--genuine", type=int, default=400)
    parser.add_argument(
        "--gallery", type=int, default=1000, help="the largest; a tenth and a hundredth too"
    )
    parser.add_argument("--frames", type=int, default=10, help="a second; a genuine visit is one")
    parser.add_argument(
        "--stay-s", type=float, default=1.5, help="how long a stranger stays; 1.5: one whole test"
    )
    parser.add_argument("--targets", type=float, nargs="+", default=[0.1, 1e-2, 1e-3, 1e-4, 1e-5])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder for what is made once (1 GB)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--correlation", action="store_true")
    parser.add_argument("--film-only", action="store_true")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        cache = arguments.cache or Path(stack.enter_context(TemporaryDirectory()))
        studio = Studio(arguments.bundle, arguments.seed, cache, arguments.processes)
        measure(arguments, studio)


def measure(arguments: argparse.Namespace, studio: Studio) -> None:
    """Film and embed what is asked for, and count."""
    drawn = draw(
        arguments.data,
        strangers=arguments.strangers,
        genuine=arguments.genuine,
        gallery=arguments.gallery,
        seed=arguments.seed,
    )
    frames = arguments.frames
    stay = round(frames * arguments.stay_s)
    if arguments.film_only:
        studio.crops(drawn.references, 1, "references")
        studio.crops(drawn.genuine, frames, "genuine")
        studio.crops(drawn.strangers, stay, "strangers")
        return
    bundle = inspect_bundle(arguments.bundle)
    references = studio.film(drawn.references, 1, "references")
    genuine = studio.film(drawn.genuine, frames, "genuine")
    if arguments.correlation:
        att = studio.film(read_att(arguments.data / "att-faces").pictures, 1, "att")
        for line in correlations(genuine, references, att, bundle.evidence):
            print(line, flush=True)
        return
    people = Cast(references, genuine, studio.film(drawn.strangers, stay, "strangers"))
    base = policy_from(DecisionConfig(), bundle.operating_point, bundle.evidence, bundle.model_id)
    print(
        f"{bundle.name} {bundle.model_id[:12]}; {len(drawn.strangers):,} strangers for "
        f"{arguments.stay_s:g} s, {len(drawn.genuine):,} genuine visitors; {frames} "
        f"frames a second, of which are judged: {people.strangers.usable.mean():.1%} of strangers, "
        f"{people.genuine.usable.mean():.1%} of genuine visitors"
    )
    for parts in _PARTS:
        print(promise(base, arguments.gallery // parts))
    print(HEAD)
    made = []
    for row in rows(people, base, arguments.targets, rate_hz=float(frames)):
        made.append(asdict(row))
        print(row, flush=True)
    if arguments.json:
        facts = {"model_id": bundle.model_id, "bundle_id": bundle.bundle_id, "rows": made}
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
