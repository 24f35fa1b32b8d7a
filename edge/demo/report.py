"""The report: one HTML file that fetches nothing but the film beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from edge.demo.moment import Moment
from edge.demo.page import SCRIPT, STYLE
from edge.demo.record import Still
from edge.demo.timeline import draw


@dataclass(frozen=True, slots=True)
class Report:
    """What the page says.

    Args:
        title: its heading.
        verdict: one sentence that sums up.
        passed: whether that is good; None where nothing was at stake.
        lead: what was done, a sentence or two.
        film: the film's file name, beside the page.
        moments: every frame; at least one.
        stills: visit → its telling picture.
        columns: the table's head.
        rows: the table, a row a visit or person.
        notes: what it shows and what it does not, a sentence or two each.
        facts: name → value, the small print.
    """

    title: str
    verdict: str
    passed: bool | None
    lead: str
    film: str
    moments: Sequence[Moment]
    stills: Mapping[str, Still]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    facts: Mapping[str, str]

    def html(self) -> str:
        """Return the page."""
        mark = {True: "passed", False: "failed", None: "told"}[self.passed]
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(self.title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(self.title)}</h1>
<p class="verdict {mark}">{escape(self.verdict)}</p>
<p class="lead">{escape(self.lead)}</p>
<section>
<video id="film" src="{escape(self.film)}" controls muted playsinline preload="auto"></video>
<div class="scroll">
{draw(self.moments)}
</div>
<p class="key"><span class="dot match"></span>score at or above the threshold
<span class="dot below"></span>score below it
<span class="bar judged"></span>face judged
<span class="bar seen"></span>face found, not fit to be judged
<span class="tick">✓</span>granted <span class="cross">✕</span>denied
<span class="bar released"></span>relay released. Click the timeline to go there in the film.</p>
</section>
<h2>Who came</h2>
<div class="scroll">{_table(self.columns, self.rows)}</div>
<div class="stills">{"".join(map(_figure, self.stills.values()))}</div>
<h2>What this shows, and what not</h2>
<ul>{"".join(f"<li>{escape(note)}</li>" for note in self.notes)}</ul>
<h2>Small print</h2>
<dl>{"".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in self.facts.items())}</dl>
</main>
<script>
{SCRIPT}</script>
</body>
</html>
"""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(still: Still) -> str:
    moment, picture = still.moment, base64.b64encode(still.jpeg).decode("ascii")
    who = escape(moment.visit or "nobody")
    return (
        f'<figure><img alt="{who} at {moment.at_s:.1f} s" src="data:image/jpeg;base64,{picture}">'
        f"<figcaption><b>{who}</b>, {moment.at_s:.1f} s: {escape(moment.title)}, "
        f"{escape(moment.reason.value)}</figcaption></figure>"
    )
