"""The README is held to the program: what can be called or configured is written down."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from edge.cli import commands
from edge.config import DoorConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [each.name for each in commands()])
def test_every_command_is_in_the_readme(name):
    assert f"janus {name}" in README


def test_every_configuration_key_is_in_its_page():
    page = (ROOT / "docs" / "configure.md").read_text(encoding="utf-8")
    keys = [f"`{key.name}`" for table in fields(DoorConfig) for key in fields(type(table.default))]
    assert [key for key in keys if key not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        assert not target or (page.parent / target).exists(), target
        assert target or anchor in headings, anchor
