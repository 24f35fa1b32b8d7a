"""How the report looks and moves; kept in Python so that it travels with the package."""

STYLE = """\
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --card: #ffffff; --ink: #1d2126; --muted: #667079; --rule: #e1dfda;
  --grant: #1f8a4c; --deny: #cf3f3f; --blue: #2f6fb3; --band: #2f6fb312; --grey: #b3b9bf;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --card: #1c2024; --ink: #e7e9eb; --muted: #97a1aa; --rule: #30363c;
    --grant: #4cc27f; --deny: #f06a6a; --blue: #6aa8e8; --band: #6aa8e81c; --grey: #5b646c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 64px; }
h1 { margin: 0 0 14px; font-size: 1.7rem; }
h2 { margin: 36px 0 10px; font-size: 1.15rem; }
.verdict { margin: 0 0 12px; padding: 11px 16px; border-left: 5px solid var(--blue);
  border-radius: 6px; background: var(--card); font-size: 1.1rem; font-weight: 600; }
.verdict.passed { border-color: var(--grant); }
.verdict.failed { border-color: var(--deny); }
.verdict.passed::before { content: "✓ "; color: var(--grant); }
.verdict.failed::before { content: "✕ "; color: var(--deny); }
.lead { margin: 0 0 18px; max-width: 75ch; color: var(--muted); }
section { padding: 16px; border: 1px solid var(--rule); border-radius: 10px;
  background: var(--card); }
video { display: block; width: 100%; max-width: 640px; margin: 0 auto 14px; border-radius: 6px;
  background: #000; }
.scroll { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 720px; cursor: pointer; }
svg text { fill: var(--muted); font-size: 12px; }
svg .who { fill: var(--ink); font-weight: 600; }
svg .band { fill: var(--band); }
svg .grid { stroke: var(--rule); }
svg .threshold { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 7 5; }
svg .threshold-text { fill: var(--ink); }
svg .dots { fill: none; stroke-width: 5; stroke-linecap: round; }
svg .dots.match { stroke: var(--grant); }
svg .dots.below { stroke: var(--deny); }
svg .seen { fill: var(--grey); }
svg .judged { fill: var(--blue); }
svg .locked { fill: var(--rule); }
svg .released { fill: var(--grant); }
svg .mark { fill: none; stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
svg .mark.granted { stroke: var(--grant); }
svg .mark.denied { stroke: var(--deny); }
svg #playhead { stroke: var(--ink); stroke-width: 1.5; }
.key { margin: 10px 0 0; font-size: .85rem; color: var(--muted); }
.key span { display: inline-block; margin: 0 4px 0 12px; }
.key span:first-child { margin-left: 0; }
.dot { width: 9px; height: 9px; border-radius: 50%; }
.bar { width: 16px; height: 9px; border-radius: 2px; }
.dot.match, .bar.released { background: var(--grant); }
.dot.below { background: var(--deny); }
.bar.judged { background: var(--blue); }
.bar.seen { background: var(--grey); }
.tick { color: var(--grant); font-weight: 700; }
.cross { color: var(--deny); font-weight: 700; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
th { color: var(--muted); font-size: .85rem; font-weight: 600; }
.stills { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 14px;
  margin-top: 18px; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 6px; }
figcaption { margin-top: 5px; font-size: .85rem; color: var(--muted); }
figcaption b { color: var(--ink); }
li { margin: 5px 0; max-width: 80ch; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 0;
  font-size: .88rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

SCRIPT = """\
"use strict";
const film = document.getElementById("film");
const timeline = document.getElementById("timeline");
const playhead = document.getElementById("playhead");
const { left, right, end } = Object.fromEntries(
  Object.entries(timeline.dataset).map(([key, value]) => [key, Number(value)]),
);
const width = timeline.viewBox.baseVal.width;

function follow() {
  const x = left + (right - left) * Math.min(film.currentTime / end, 1);
  playhead.setAttribute("x1", x);
  playhead.setAttribute("x2", x);
  if (!film.paused) requestAnimationFrame(follow);
}

film.addEventListener("play", follow);
film.addEventListener("timeupdate", follow);
timeline.addEventListener("click", (event) => {
  const box = timeline.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * width;
  film.currentTime = Math.max(0, Math.min(1, (x - left) / (right - left))) * end;
});
"""
