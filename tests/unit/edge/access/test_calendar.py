"""Hours and holidays, by what a clock on the wall shows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.calendar import ALWAYS, Holidays, Schedule, parse_holiday, parse_span
from edge.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
NONE = Holidays()


def schedule(*hours, holiday=()):
    return Schedule(
        tuple(parse_span("hours", each) for each in hours),
        tuple(parse_span("holiday_hours", each) for each in holiday),
    )


def berlin(text):
    """Return the wall time in Berlin of a moment given in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(BERLIN)


@pytest.mark.parametrize(
    ("hours", "wall", "holds"),
    [
        ("mon-fri 07:30-19:00", "2026-11-23T07:29", False),
        ("mon-fri 07:30-19:00", "2026-11-23T07:30", True),
        ("mon-fri 07:30-19:00", "2026-11-23T18:59", True),
        ("mon-fri 07:30-19:00", "2026-11-23T19:00", False),
        ("mon-fri 07:30-19:00", "2026-11-22T12:00", False),
        ("08:00-12:00", "2026-11-22T08:00", True),
        ("sat,sun 00:00-24:00", "2026-11-22T23:59", True),
        ("sat,sun 00:00-24:00", "2026-11-23T00:00", False),
        ("fri-mon 10:00-11:00", "2026-11-22T10:30", True),
        ("fri-mon 10:00-11:00", "2026-11-24T10:30", False),
        ("fri 22:00-06:00", "2026-11-27T22:00", True),
        ("fri 22:00-06:00", "2026-11-28T05:59", True),
        ("fri 22:00-06:00", "2026-11-28T06:00", False),
        ("fri 22:00-06:00", "2026-11-27T05:00", False),
        ("always", "2026-11-27T05:00", True),
    ],
)
def test_a_span_holds_from_its_first_minute_to_before_its_last(hours, wall, holds):
    assert schedule(hours).holds(datetime.fromisoformat(wall), NONE) is holds


@pytest.mark.parametrize(
    ("utc", "wall", "holds"),
    [
        ("2026-03-29T00:59", "01:59", False),
        ("2026-03-29T01:00", "03:00", True),
        ("2026-03-29T01:59", "03:59", True),
        ("2026-03-29T02:00", "04:00", False),
    ],
)
def test_hours_that_begin_in_the_skipped_hour_of_spring_begin_after_it(utc, wall, holds):
    """02:30 does not exist in Berlin on 29 March 2026."""
    local = berlin(utc)
    assert f"{local:%H:%M}" == wall
    assert schedule("02:30-04:00").holds(local, NONE) is holds


def test_hours_inside_the_skipped_hour_of_spring_do_not_come():
    whole = schedule("02:10-02:50")
    start = berlin("2026-03-28T23:00")
    day = (start.astimezone(UTC) + timedelta(minutes=i) for i in range(23 * 60))
    assert not any(whole.holds(each.astimezone(BERLIN), NONE) for each in day)


@pytest.mark.parametrize(
    ("utc", "wall", "holds"),
    [
        ("2026-10-24T23:59", "01:59", True),
        ("2026-10-25T00:00", "02:00", True),
        ("2026-10-25T00:29", "02:29", True),
        ("2026-10-25T00:30", "02:30", False),
        ("2026-10-25T01:00", "02:00", True),
        ("2026-10-25T01:29", "02:29", True),
        ("2026-10-25T01:30", "02:30", False),
        ("2026-10-25T02:00", "03:00", False),
    ],
)
def test_an_hour_that_comes_twice_in_autumn_counts_both_times(utc, wall, holds):
    local = berlin(utc)
    assert f"{local:%H:%M}" == wall
    assert schedule("01:00-02:30").holds(local, NONE) is holds


@pytest.mark.parametrize(
    ("hours", "first_utc", "minutes"),
    [
        ("sat 22:00-06:00", "2026-03-28T21:00", 7 * 60),
        ("sat 22:00-06:00", "2026-10-24T20:00", 9 * 60),
        ("mon-fri 08:00-17:00", "2026-03-30T06:00", 9 * 60),
        ("mon-fri 08:00-17:00", "2026-10-26T07:00", 9 * 60),
    ],
)
def test_a_night_is_an_hour_shorter_in_spring_and_longer_in_autumn(hours, first_utc, minutes):
    """The hours after the change follow the new time from the first day on."""
    first = datetime.fromisoformat(first_utc).replace(tzinfo=UTC)
    whole = schedule(hours)
    held = [
        i
        for i in range(-60, minutes + 60)
        if whole.holds((first + timedelta(minutes=i)).astimezone(BERLIN), NONE)
    ]
    assert held == list(range(minutes))


@given(
    utc=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    cut=st.integers(1, 24 * 60 - 1),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Gaza"]),
)
def test_two_spans_that_meet_leave_no_gap_and_no_overlap(utc, cut, zone):
    """Whatever the day and the zone's changes."""
    at = f"{cut // 60:02}:{cut % 60:02}"
    local = utc.astimezone(ZoneInfo(zone))
    before, after = schedule(f"00:00-{at}"), schedule(f"{at}-24:00")
    assert before.holds(local, NONE) is not after.holds(local, NONE)
    assert schedule("always").holds(local, NONE)


def test_a_holiday_has_hours_of_its_own():
    christmas = Holidays(yearly=frozenset({(12, 25)}), dates=frozenset({date(2026, 4, 3)}))
    usual = schedule("mon-fri 08:00-17:00", holiday=["10:00-12:00"])
    assert usual.holds(datetime(2026, 12, 24, 9), christmas)
    assert not usual.holds(datetime(2026, 12, 25, 9), christmas)
    assert usual.holds(datetime(2026, 12, 25, 10), christmas)
    assert usual.holds(datetime(2027, 12, 25, 10), christmas)  # a Saturday
    assert not usual.holds(datetime(2026, 4, 3, 9), christmas)
    assert usual.holds(datetime(2027, 4, 5, 9), christmas)
    assert ALWAYS.holds(datetime(2026, 12, 25, 3), christmas)


def test_a_night_belongs_to_the_day_on_which_it_begins_holidays_included():
    """The night before a holiday runs to its end; that of the holiday does not begin."""
    day = Holidays(dates=frozenset({date(2026, 11, 27)}))
    night = schedule("22:00-06:00")
    assert night.holds(datetime(2026, 11, 27, 5), day)
    assert not night.holds(datetime(2026, 11, 27, 23), day)
    assert not night.holds(datetime(2026, 11, 28, 5), day)
    assert night.holds(datetime(2026, 11, 28, 22), day)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mno-fri 08:00-17:00", "there is no day 'mno'; did you mean 'mon'?"),
        ("mon-fri 8-17", 'expected "always", or days and hours'),
        ("mon-fri 08:00-25:00", "there is no 25:00; the nearest is 24:00"),
        ("mon-fri 08:61-17:00", "there is no 08:61; the nearest is 08:59"),
        ("mon-fri 08:00-24:30", "there is no 24:30; the nearest is 24:00"),
        ("24:00-06:00", "the nearest is 00:00"),
        ("08:00-08:00", "these hours are empty"),
        ("mon always", 'expected "always"'),
        ("", 'expected "always"'),
    ],
)
def test_a_span_that_cannot_be_is_refused_with_the_nearest_that_can(text, complaint):
    with pytest.raises(ConfigError) as caught:
        parse_span("[group.staff] hours", text)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("[group.staff] hours")


def test_a_holiday_is_a_day_of_one_year_or_of_every_year():
    assert parse_holiday("holidays", "2026-04-03") == date(2026, 4, 3)
    assert parse_holiday("holidays", "02-29") == (2, 29)
    for wrong in ("02-30", "2026-02-29", "easter", "4-3"):
        with pytest.raises(ConfigError, match="is no day"):
            parse_holiday("holidays", wrong)
