"""The wiring picture is the script's, and its pins are those of the page and of the board."""

from __future__ import annotations

import re
import runpy
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from edge.config import parse_config

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "wiring.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "draw_wiring.py"))


@pytest.fixture(scope="module")
def pins(script):
    drawn = [script["RELAY"], *script["INPUTS"], script["LED"], script["BUZZER"]]
    return {key: (gpio, header) for key, gpio, header, *_ in drawn}


def test_the_picture_is_what_the_script_draws(script):
    drawn = script["draw"]()
    assert script["PICTURE"].read_text(encoding="utf-8") == drawn
    assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own


def test_the_pages_configuration_is_valid_and_has_the_pictures_pins(pins):
    first, safe = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    tables = tomllib.loads(first)
    parse_config(tables, base=ROOT)
    assert parse_config(tomllib.loads(safe), base=ROOT).door.fails == "safe"
    written = {f"{table}.{key}": pin for table, keys in tables.items() for key, pin in keys.items()}
    assert written == {key: gpio for key, (gpio, _) in pins.items()}


def test_the_pictures_pins_leave_a_matrix_keypad_its_own():
    tables = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    parse_config(tables | {"access": {"keypad": "matrix"}}, base=ROOT)


@pytest.mark.parametrize("revision", [0xA03111, 0xC04170], ids=["Pi 4B", "Pi 5"])
def test_the_header_of_a_board_has_these_pins_there(pins, revision):
    from gpiozero.pins.pi import PiBoardInfo

    header = PiBoardInfo.from_revision(revision).headers["J8"]
    assert {key: header.pins[number].name for key, (_, number) in pins.items()} == {
        key: f"GPIO{gpio}" for key, (gpio, _) in pins.items()
    }


def test_the_relays_pin_is_pulled_down_while_the_board_boots(pins):
    """BCM2835 ARM Peripherals, table 6-31: GPIO 9 to 27."""
    assert 9 <= pins["relay.pin"][0] <= 27
