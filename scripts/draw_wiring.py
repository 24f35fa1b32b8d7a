#!/usr/bin/env python3
"""Draw docs/pictures/wiring.svg: what is wired to the Pi, and how the strike is kept locked.

    python scripts/draw_wiring.py

The pins are those of docs/wiring.md; a test compares both with this file and the file's output.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "wiring.svg"

# Configuration key, GPIO (BCM), pin of the 40-pin header.
RELAY = ("relay.pin", 17, 11)
INPUTS = (
    ("inputs.contact_pin", 22, 15, "door contact (reed)", "closed while the door is"),
    ("inputs.exit_pin", 27, 13, "request to exit, inside", "closed when pressed"),
    ("inputs.tamper_pin", 23, 16, "tamper switch of the case", "closed while the case is"),
    ("inputs.button_pin", 24, 18, "second factor's button", "closed when pressed"),
)
LED = ("signals.led_pin", 25, 22)
BUZZER = ("signals.buzzer_pin", 26, 37)

WIDTH, HEIGHT = 1080, 760
INK, RED, BLUE, GREY = "#1b1b1b", "#b3261e", "#1f5fa8", "#6b6b6b"


class Drawing:
    """Collects the elements of a picture."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def line(self, *points: tuple[float, float], colour: str = INK, width: float = 2) -> None:
        """Draw straight lines from point to point."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'
        )

    def box(self, left: float, top: float, width: float, height: float, fill: str = "none") -> None:
        """Draw a rectangle."""
        self.parts.append(
            f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="4" '
            f'fill="{fill}" stroke="{INK}" stroke-width="2"/>'
        )

    def dot(self, x: float, y: float, *, filled: bool = True) -> None:
        """Draw a joint, or an open terminal."""
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="4" fill="{INK if filled else "white"}" '
            f'stroke="{INK}" stroke-width="2"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 14,
        colour: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write one line."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def resistor(self, x: float, y: float, label: str, *, upright: bool = False) -> None:
        """Draw a resistor of 50 by 16 around a point."""
        if upright:
            self.box(x - 8, y - 25, 16, 50, "white")
            self.text(x + 14, y + 5, label)
        else:
            self.box(x - 25, y - 8, 50, 16, "white")
            self.text(x, y - 14, label, anchor="middle")

    def ground(self, x: float, y: float) -> None:
        """Draw the sign of ground below a point."""
        self.line((x, y), (x, y + 10))
        for i, half in enumerate((14, 9, 4)):
            self.line((x - half, y + 10 + 5 * i), (x + half, y + 10 + 5 * i))

    def switch(self, x: float, y: float) -> None:
        """Draw a switch of 60 from a point to the right."""
        self.dot(x, y, filled=False)
        self.dot(x + 60, y, filled=False)
        self.line((x + 3, y - 3), (x + 56, y - 20))

    def svg(self) -> str:
        """Return the whole picture."""
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" role="img" aria-label="Wiring of a Janus door">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
        )


def _pin(drawing: Drawing, y: float, key: str, gpio: int, header: int) -> None:
    """Draw one pin at the right edge of the Pi."""
    drawing.text(40, y - 4, key, size=13, colour=BLUE)
    drawing.text(40, y + 13, f"GPIO{gpio}, pin {header}", size=13)
    drawing.dot(230, y)


def draw_strike(drawing: Drawing) -> None:
    """Draw the pull-down, the relay board, and the strike's own circuit."""
    y = 110
    _pin(drawing, y, *RELAY)
    drawing.line((230, y), (470, y))
    drawing.dot(300, y)
    drawing.line((300, y), (300, y + 20))
    drawing.resistor(300, y + 45, "10 kΩ pull-down:", upright=True)
    drawing.text(314, y + 66, "a dead process", size=12, colour=GREY)
    drawing.text(314, y + 82, "is a locked door", size=12, colour=GREY)
    drawing.line((300, y + 70), (300, y + 80))
    drawing.ground(300, y + 80)
    drawing.box(470, 60, 180, 110, "#f2f2f2")
    drawing.text(560, 54, "relay board, opto-isolated", anchor="middle", bold=True)
    drawing.text(480, y + 5, "IN")
    drawing.text(480, 80, "VCC 5 V (pin 2)", size=12)
    drawing.text(480, 160, "GND (pin 6)", size=12)
    for at, name in ((80, "COM"), (115, "NO"), (150, "NC, free")):
        drawing.text(640, at + 5, name, anchor="end")
        drawing.dot(650, at, filled=False)
    drawing.text(760, 54, "the strike's own supply", bold=True, colour=RED)
    # Supply, fuse, COM; NO, strike, back to the supply.
    drawing.line((654, 80), (740, 80), colour=RED)
    drawing.box(740, 72, 50, 16, "white")
    drawing.line((740, 80), (790, 80), colour=RED)
    drawing.text(765, 106, "fuse 1 A", anchor="middle")
    drawing.line((790, 80), (990, 80), (990, 180), colour=RED)
    drawing.box(930, 180, 120, 60, "#f2f2f2")
    drawing.text(990, 206, "12 V DC", anchor="middle", bold=True)
    drawing.text(990, 226, "+ above, − below", anchor="middle", size=12)
    drawing.line((654, 115), (690, 115), (690, 210), colour=RED)
    drawing.dot(690, 210)
    drawing.line((690, 210), (690, 230), colour=RED)
    drawing.box(640, 230, 100, 50, "#f2f2f2")
    drawing.text(690, 252, "strike", anchor="middle", bold=True)
    drawing.text(690, 270, "fail-secure", anchor="middle", size=12)
    drawing.line((690, 280), (690, 300), (990, 300), (990, 240))
    drawing.dot(690, 300)
    # The flyback diode, across the coil: cathode (bar) to plus.
    drawing.line((690, 210), (800, 210), (800, 243), colour=RED)
    drawing.line((786, 243), (814, 243))
    drawing.parts.append(f'<polygon points="800,243 786,266 814,266" fill="{INK}"/>')
    drawing.line((800, 266), (800, 300))
    drawing.dot(800, 300)
    drawing.text(824, 258, "1N4007 flyback diode,", size=12)
    drawing.text(824, 274, "at the strike", size=12)


def draw_inputs(drawing: Drawing) -> None:
    """Draw the switches, each to ground."""
    for i, (key, gpio, header, what, when) in enumerate(INPUTS):
        y = 350 + 60 * i
        _pin(drawing, y, key, gpio, header)
        drawing.line((230, y), (300, y))
        drawing.resistor(325, y, "1 kΩ")
        drawing.line((350, y), (430, y))
        drawing.switch(430, y)
        drawing.line((494, y), (540, y))
        drawing.ground(540, y)
        drawing.text(580, y, what, bold=True)
        drawing.text(580, y + 18, when, size=12, colour=GREY)
    drawing.text(760, 350, "The board pulls these pins up:", size=13, colour=GREY)
    drawing.text(760, 368, "a cut wire reads as an open door,", size=13, colour=GREY)
    drawing.text(760, 386, "or as an open case.", size=13, colour=GREY)


def draw_signals(drawing: Drawing) -> None:
    """Draw LED and buzzer."""
    y = 600
    _pin(drawing, y, *LED)
    drawing.line((230, y), (300, y))
    drawing.resistor(325, y, "330 Ω")
    drawing.line((350, y), (440, y))
    drawing.parts.append(f'<polygon points="440,{y - 13} 440,{y + 13} 462,{y}" fill="{INK}"/>')
    drawing.line((462, y - 13), (462, y + 13))
    drawing.line((462, y), (540, y))
    drawing.ground(540, y)
    drawing.text(580, y + 5, "status LED", bold=True)
    y = 665
    _pin(drawing, y, *BUZZER)
    drawing.line((230, y), (300, y))
    drawing.resistor(325, y, "1 kΩ")
    drawing.line((350, y), (430, y))
    drawing.box(430, y - 20, 70, 40, "#f2f2f2")
    drawing.text(465, y - 2, "NPN", anchor="middle", size=13)
    drawing.text(465, y + 14, "BC337", anchor="middle", size=12)
    drawing.line((465, y + 20), (465, y + 30))
    drawing.ground(465, y + 30)
    drawing.line((500, y), (570, y))
    drawing.box(570, y - 20, 90, 40, "#f2f2f2")
    drawing.text(615, y + 5, "buzzer", anchor="middle", bold=True)
    drawing.line((660, y), (730, y))
    drawing.text(738, y + 5, "5 V (pin 4)")


def draw() -> str:
    """Return the picture as SVG."""
    drawing = Drawing()
    drawing.text(30, 32, "A Janus door: what is wired to the Pi", size=20, bold=True)
    drawing.box(20, 60, 210, 650, "#f7fbf7")
    drawing.text(125, 82, "Raspberry Pi", anchor="middle", bold=True)
    draw_strike(drawing)
    draw_inputs(drawing)
    draw_signals(drawing)
    return drawing.svg()


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE)
