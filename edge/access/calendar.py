"""Pure: weekly hours and holidays, by what a clock on the wall of the site shows.

A span of hours is compared with local wall time, so the changes of summer time need no rule of
their own: in spring, hours that the clock skips do not exist, and a span that begins in them
begins with the first hour after; in autumn, an hour that comes twice counts both times. Two spans
that meet leave no gap and no overlap on any day of the year. A span that ends at or before its
begin runs past midnight and belongs to the day on which it begins, holidays included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from edge.config_reading import nearest
from edge.errors import ConfigError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EVERY_DAY = frozenset(range(7))
_DAY_MIN = 24 * 60
_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Hours on some weekdays (0 is Monday): from *begin_min* of the day up to before *end_min*.

    ``end_min`` is more than a day's 1440 minutes where the span runs past midnight.
    """

    weekdays: frozenset[int]
    begin_min: int
    end_min: int

    def holds(self, weekday: int, minute: int) -> bool:
        """Tell whether *minute*, counted from midnight of a *weekday*, lies in the span."""
        return weekday in self.weekdays and self.begin_min <= minute < self.end_min


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days with hours of their own: single ones, and (month, day) of every year."""

    dates: frozenset[date] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()

    def __contains__(self, day: date) -> bool:
        """Tell whether *day* is a holiday."""
        return day in self.dates or (day.month, day.day) in self.yearly


@dataclass(frozen=True, slots=True)
class Schedule:
    """The hours of ordinary days and those of holidays."""

    spans: tuple[Span, ...]
    holiday_spans: tuple[Span, ...]

    def holds(self, local: datetime, holidays: Holidays) -> bool:
        """Tell whether *local*, the site's wall time, lies within the hours."""
        today = local.date()
        minute = local.hour * 60 + local.minute
        return self._on(today, minute, holidays) or self._on(
            today - _ONE_DAY, minute + _DAY_MIN, holidays
        )

    def _on(self, day: date, minute: int, holidays: Holidays) -> bool:
        spans = self.holiday_spans if day in holidays else self.spans
        return any(each.holds(day.weekday(), minute) for each in spans)


ALL_DAY = Span(EVERY_DAY, 0, _DAY_MIN)
ALWAYS = Schedule((ALL_DAY,), (ALL_DAY,))


def parse_span(where: str, text: str) -> Span:
    """Return the span that *text* names: "always", "mon-fri 07:30-19:00" or "08:00-12:00".

    Args:
        where: the key, for the message.
        text: days, if not every day, then hours of 24.

    Raises:
        ConfigError: with the nearest valid day or hour.
    """
    days, _, hours = text.strip().lower().rpartition(" ")
    if not days and hours == "always":
        return ALL_DAY
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise ConfigError(
            f'{where} = {text!r}; expected "always", or days and hours: "mon-fri 07:30-19:00"'
        )
    begin_min = _minute(where, found[1], found[2])
    end_min = _minute(where, found[3], found[4])
    if begin_min == _DAY_MIN:
        raise ConfigError(f"{where} = {text!r}; a span cannot begin at 24:00; the nearest is 00:00")
    if begin_min == end_min:
        raise ConfigError(
            f"{where} = {text!r}; these hours are empty; write 00:00-24:00 for the whole day"
        )
    if end_min < begin_min:
        end_min += _DAY_MIN
    return Span(_days(where, days) if days else EVERY_DAY, begin_min, end_min)


def parse_holiday(where: str, text: str) -> date | tuple[int, int]:
    """Return the day that *text* names: "2026-04-03", or "12-25" for every year.

    Raises:
        ConfigError: if there is no such day.
    """
    try:
        if re.fullmatch(r"\d{2}-\d{2}", text):
            leap = date.fromisoformat(f"2000-{text}")  # a leap year: 29 February may be meant
            return leap.month, leap.day
        return date.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(
            f'{where} = {text!r} is no day ({exc}); write "2026-04-03", or "12-25" for every year'
        ) from exc


def _minute(where: str, hour: str, minute: str) -> int:
    """Return minutes since midnight, 1440 for 24:00."""
    if not (int(hour) < 24 and int(minute) < 60) and (int(hour), int(minute)) != (24, 0):  # noqa: PLR2004 - hours of a day, minutes of an hour
        near = "24:00" if int(hour) >= 24 else f"{hour}:59"  # noqa: PLR2004 - as above
        raise ConfigError(f"{where}: there is no {hour}:{minute}; the nearest is {near}")
    return int(hour) * 60 + int(minute)


def _days(where: str, text: str) -> frozenset[int]:
    """Return the weekdays of "mon-fri", "sat,sun" or "fri-mon"."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        begin = _weekday(where, first)
        count = (_weekday(where, last) - begin) % 7 if dash else 0
        found |= {(begin + i) % 7 for i in range(count + 1)}
    return frozenset(found)


def _weekday(where: str, name: str) -> int:
    if name not in WEEKDAYS:
        raise ConfigError(f"{where}: there is no day {name!r}{nearest(name, WEEKDAYS)}")
    return WEEKDAYS.index(name)
