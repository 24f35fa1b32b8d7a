"""Pure: one audit event in words, from its stored numbers alone.

A decision is added up again by the door's own arithmetic (`edge.evidence.weigh`), so the words say
what the numbers say, and a record that contradicts itself shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from edge.access.verdict import AccessReason
from edge.audit import DECISION, Event
from edge.evidence import Weight, weigh
from edge.stores.audit_layout import REMOVED_THROUGH, RETENTION
from edge.vocabulary import Decision, Flaw, Outcome, Reason

# Rounding of sums in another order, not of records: those hold every digit.
_SAME_NATS = 1e-6
_VERDICTS = {
    Outcome.GRANT: "granted",
    Outcome.DENY: "denied",
    Outcome.WAIT: "undecided",
}


def decision_of(event: Event) -> Decision | None:
    """Return the decision that an event records, or None if this release cannot read it.

    What an earlier release did not record yet has its default.
    """
    facts = event.facts
    try:
        values: dict[str, Any] = {}
        for each in fields(Decision):
            if each.name not in facts and each.default is MISSING:
                # Only the frame's own time was not recorded always; nothing is judged by it.
                values[each.name] = {"captured_at_s": math.nan}[each.name]
            elif each.name in facts:
                values[each.name] = _value(each.name, facts[each.name])
        return Decision(**values)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def explain(event: Event, following: Sequence[Event], who: Callable[[object], str]) -> list[str]:
    """Return sentences, a line each, that say what happened and why.

    Args:
        event: any event.
        following: those after it, of which what belongs to it is told too.
        who: subject id → name, or what else to call the subject.
    """
    when = f"event {event.seq}, {event.at_utc[:10]} {event.at_utc[11:23]} UTC"
    decision = decision_of(event) if event.kind == DECISION else None
    if decision is None:
        return [f"{when}: {_said(event, who)}", *_facts(event)]
    named = who(decision.subject_id) if decision.subject_id is not None else None
    head = f"{when}: {_VERDICTS[decision.outcome]}, because {decision.reason.value}"
    lines = [f"{head}." if named is None else f"{head} ({named})."]
    lines += _comparison(decision, named or "the nearest subject")
    if decision.ratios:
        lines += _evidence(decision, weigh(decision))
    lines += [f"The picture: {flaw.value}." for flaw in decision.flaws]
    lines += _what_followed(decision, following, who)
    return lines


def _comparison(decision: Decision, named: str) -> list[str]:
    if decision.score is None:
        return ["Nobody was compared."]
    side = "at or above" if decision.score >= decision.threshold else "below"
    sentence = (
        f"In {decision.frames} frame(s) the best cosine with {named} was {decision.score:.3f}, "
        f"{side} {decision.threshold:.3f}, from which on the model calls two pictures one person."
    )
    return [sentence]


def _evidence(decision: Decision, weight: Weight) -> list[str]:
    lines = [
        f"All frames together are worth {weight.evidence:.2f} nats{_odds(weight.evidence)}.",
        (
            f"To open by the face alone, {weight.needed:.2f} nats are needed: so many keep the "
            f"share of strangers' visits that open to {decision.false_accept:.2g}, among "
            f"{decision.references or 0} reference(s){_test(decision)}."
        ),
    ]
    if not weight.alone and decision.false_accept_with_pin < 1:
        lines.append(
            f"With a second factor, {weight.needed_with_pin:.2f} nats are needed "
            f"({decision.false_accept_with_pin:.2g})."
        )
    if weight.lead is not None:
        enough = "enough" if weight.lead >= decision.lead_needed else "too little"
        lines.append(
            f"The next subject lies {weight.lead:.2f} nats behind; {decision.lead_needed:.2f} are "
            f"asked for, so that is {enough}."
        )
    lines.append(_balance(decision, weight))
    return lines


def _balance(decision: Decision, weight: Weight) -> str:
    """Say whether the record agrees with its own numbers."""
    stored = decision.evidence
    agrees = stored is None or math.isclose(stored, weight.evidence, abs_tol=_SAME_NATS)
    if decision.outcome is Outcome.GRANT and decision.reason is not Reason.ALREADY_GRANTED:
        second = decision.needs_second_factor
        agrees &= weight.with_second_factor if second else weight.alone
    if agrees:
        return "Added up again from the stored numbers, this comes to the same."
    return (
        "Added up again from the stored numbers, this does NOT come to the same: the record "
        "contradicts itself."
    )


def _odds(nats: float) -> str:
    ratio = math.exp(min(abs(nats), 700.0))
    same = "one person" if nats >= 0 else "two people"
    return f": {ratio:.3g} times likelier for {same} than for {_OTHER[same]}"


_OTHER = {"one person": "two", "two people": "one"}


def _test(decision: Decision) -> str:
    return "" if decision.test == 1 else f", in the {decision.test}. test of this visit"


def _what_followed(
    decision: Decision, following: Sequence[Event], who: Callable[[object], str]
) -> list[str]:
    """Return what the door did about a decision: every event until the next decision."""
    lines = []
    for event in following:
        if event.kind == DECISION:
            break
        lines.append(f"Then, event {event.seq}: {_said(event, who)}")
    if not any(event.kind == "release" for event in following[: len(lines)]):
        if decision.outcome is Outcome.GRANT:
            lines.append("No release is recorded after it: the door did not open for it.")
        else:
            lines.append("The door did not open for it.")
    return lines


def _said(event: Event, who: Callable[[object], str]) -> str:
    """Return one event that is no decision, as a sentence."""
    facts = event.facts
    named = who(facts["subject_id"]) if facts.get("subject_id") is not None else "nobody"
    match event.kind:
        case "release":
            by = f" ({named})" if facts.get("subject_id") is not None else ""
            return (
                f"the strike was released for {facts.get('release_s')} s: {facts.get('cause')}{by}."
            )
        case "not admitted":
            return f"{named} was not admitted ({facts.get('answer')}): {_reason(facts)}."
        case "refused":
            return f"not released for {facts.get('cause')}: the door is {facts.get('reason')}."
        case "duress":
            return f"{named} entered the duress PIN."
        case "forget":
            return f"{named} was forgotten."
        case kind if kind == RETENTION:
            return f"the events up to {facts.get(REMOVED_THROUGH)} were removed, as retention asks."
        case _:
            return f"{event.kind}."


def _reason(facts: Mapping[str, object]) -> str:
    try:
        return AccessReason[str(facts.get("reason")).upper()].value
    except KeyError:
        return str(facts.get("reason"))


def _facts(event: Event) -> list[str]:
    return [f"  {key}: {value}" for key, value in event.facts.items()]


def _value(name: str, stored: Any) -> Any:  # noqa: ANN401 - a column of JSON
    """Return a field of a decision from what `edge.audit` made of it."""
    match name:
        case "outcome":
            return Outcome[stored.upper()]
        case "reason":
            return Reason[stored.upper()]
        case "flaws":
            return tuple(Flaw[each.upper()] for each in stored)
    return tuple(stored) if isinstance(stored, list) else stored
