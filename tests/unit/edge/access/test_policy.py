"""The policy file: what it may say, what it may not, and whom it admits."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.policy import NO_POLICY, Group, admission, parse_policy, read_policy, strangers
from edge.access.verdict import AccessReason
from edge.errors import ConfigError

SITE = """
[calendar]
time_zone = "Europe/Berlin"
holidays = ["12-25", 2026-04-03]

[group.staff]
members = ["Ada", "Zoë"]
hours = ["mon-fri 07:30-19:00", "sat 09:00-13:00"]
holiday_hours = ["10:00-12:00"]
reentry_s = 60

[group.cleaners]
members = ["3f2a9c01"]
hours = ["mon-fri 18:00-22:00"]
valid_from = 2026-01-01
valid_until = "2026-12-31"
after_group = "staff"

[group.keyholders]
members = ["Ada"]
second_factor = "always"
persons = 2
"""


def policy(text=SITE):
    return parse_policy(tomllib.loads(text))


def admitted(subject_id, name, berlin, *, entered_on=None, text=SITE):
    utc = datetime.fromisoformat(berlin).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    found = admission(policy(text), subject_id, name, utc, entered_on or {})
    return found.name if isinstance(found, Group) else found


def test_the_first_group_that_admits_gives_the_rules():
    assert admitted("a1", "Ada", "2026-11-23T10:00") == "staff"
    assert admitted("a1", "Ada", "2026-11-23T22:00") == "keyholders"
    assert admitted("z1", "Zoë", "2026-11-23T22:00") is AccessReason.OUTSIDE_HOURS
    assert admitted("x1", "Eve", "2026-11-23T10:00") is AccessReason.NOT_A_MEMBER


def test_a_name_counts_however_it_is_written():
    """Case and composed accents, as at enrolment."""
    assert admitted("z1", "ZOE\u0308", "2026-11-23T10:00") == "staff"


def test_holidays_have_their_own_hours_and_always_means_always():
    assert admitted("z1", "Zoë", "2026-12-25T09:00") is AccessReason.HOLIDAY
    assert admitted("z1", "Zoë", "2026-12-25T10:00") == "staff"
    assert admitted("a1", "Ada", "2026-12-25T09:00") == "keyholders"
    assert admitted("3f2a9c01", "Bob", "2026-12-25T18:30") is AccessReason.HOLIDAY


def test_a_group_is_valid_from_its_first_day_to_the_end_of_its_last():
    """By the day at the site: at 23:30 UTC it is next year in Berlin."""
    first = {"staff": date(2026, 1, 1)}
    assert admitted("3f2a9c01", None, "2025-12-31T20:00") is AccessReason.NOT_YET_VALID
    assert admitted("3f2a9c01", None, "2026-01-01T20:00", entered_on=first) == "cleaners"
    last = {"staff": date(2026, 12, 31)}
    assert admitted("3f2a9c01", None, "2026-12-31T21:59", entered_on=last) == "cleaners"
    assert admitted("3f2a9c01", None, "2027-01-01T20:00") is AccessReason.EXPIRED


def test_a_group_waits_for_another_on_the_same_day():
    monday = {"staff": date(2026, 11, 23)}
    assert admitted("3f2a9c01", None, "2026-11-23T20:00") is AccessReason.NOBODY_FIRST
    assert admitted("3f2a9c01", None, "2026-11-23T20:00", entered_on=monday) == "cleaners"
    assert (
        admitted("3f2a9c01", None, "2026-11-24T20:00", entered_on=monday)
        is AccessReason.NOBODY_FIRST
    )


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.text("0123abcd"),
)
def test_without_a_policy_everybody_enters_at_any_time(utc, subject_id):
    found = admission(NO_POLICY, subject_id, None, utc, {})
    assert isinstance(found, Group)
    assert (found.second_factor, found.persons, found.reentry_s) == ("unsure", 1, 0.0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no group, so nobody could enter"),
        ("[groups.staff]\n", "unknown table [groups]; did you mean 'group'?"),
        ('time_zone = "UTC"\n', "unknown table [time_zone]"),
        ("group = 3\n", "group = 3 is a table: write [group]"),
        ("[group]\nstaff = 3\n", "group.staff = 3 is a table: write [group.staff]"),
        ('[group.a]\nmember = ["x"]\n', "[group.a] has no key 'member'; did you mean 'members'?"),
        ("[group.a]\nmembers = []\n", 'name somebody, or "*" for everybody'),
        ('[group.a]\nmembers = "x"\n', "expected texts in brackets"),
        ('[group.a]\nmembers = ["x"]\nhours = []\n', 'the nearest is ["always"]'),
        (
            '[group.a]\nmembers = ["x"]\nsecond_factor = "alwaysss"\n',
            "expected one of 'never', 'unsure', 'always'; did you mean 'always'?",
        ),
        ('[group.a]\nmembers = ["x"]\npersons = 3\n', "expected 1 to 2; the nearest is 2"),
        ('[group.a]\nmembers = ["x"]\nreentry_s = -1\n', "the nearest is 0"),
        (
            '[group.a]\nmembers = ["x"]\nvalid_from = 2027-01-01\nvalid_until = 2026-01-01\n',
            "valid_until = 2026-01-01 is before valid_from = 2027-01-01; the nearest is 2027-01-01",
        ),
        ('[group.a]\nmembers = ["x"]\nvalid_from = "soon"\n', "valid_from = 'soon' is no day"),
        (
            '[group.staff]\nmembers = ["x"]\n[group.b]\nmembers = ["y"]\nafter_group = "staf"\n',
            "there is no such group; did you mean 'staff'?",
        ),
        (
            '[group.a]\nmembers = ["x"]\nafter_group = "a"\n',
            "[group.a] after_group: a waits for a; nobody could be the first",
        ),
        (
            '[group.a]\nmembers = ["x"]\nafter_group = "b"\n'
            '[group.b]\nmembers = ["y"]\nafter_group = "a"\n',
            "a waits for b waits for a",
        ),
        (
            '[group.a]\nmembers = ["x"]\nsecond_factor = "never"\nsecond_factor_by = "button"\n',
            "no button is ever asked for",
        ),
        (
            '[calendar]\ntime_zone = "Europe/Berln"\n[group.a]\nmembers = ["x"]\n',
            "is not known; did you mean 'Europe/Berlin'?",
        ),
        (
            '[calendar]\nholidays = ["easter"]\n[group.a]\nmembers = ["x"]\n',
            "[calendar] holidays = 'easter' is no day",
        ),
        (
            '[group.a]\nmembers = ["x"]\nhours = ["mo 08:00-17:00"]\n',
            "[group.a] hours: there is no day 'mo'; did you mean 'mon'?",
        ),
    ],
)
def test_what_a_policy_cannot_say_is_refused_with_the_nearest_that_it_can(text, complaint):
    with pytest.raises(ConfigError) as caught:
        policy(text)
    assert complaint in str(caught.value)


def test_a_chain_of_waiting_groups_that_ends_is_no_ring():
    """c waits for b waits for a: the search for rings ends."""
    text = "".join(
        f'[group.{name}]\nmembers = ["x"]\nafter_group = "{after}"\n'
        for name, after in (("a", ""), ("b", "a"), ("c", "b"), ("d", "b"))
    )
    assert [each.name for each in policy(text).groups] == ["a", "b", "c", "d"]


def test_a_ring_is_found_from_outside_of_it_too():
    text = "".join(
        f'[group.{name}]\nmembers = ["x"]\nafter_group = "{after}"\n'
        for name, after in (("first", "a"), ("a", "b"), ("b", "a"))
    )
    with pytest.raises(ConfigError, match="nobody could be the first"):
        policy(text)


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "policy.toml"
    with pytest.raises(ConfigError, match=r"policy\.toml cannot be read"):
        read_policy(path)
    path.write_text("[groups]\n")
    with pytest.raises(ConfigError, match=r"policy\.toml: unknown table"):
        read_policy(path)


def test_the_machine_has_a_time_zone_where_the_policy_names_none():
    read = policy('[group.a]\nmembers = ["x"]\n')
    assert read.local(datetime(2026, 1, 1, tzinfo=UTC)).tzinfo is not None


def test_a_member_whom_nobody_enrolled_is_named_with_the_nearest():
    names = {"a1": "Ada", "z1": "Zoé", "3f2a9c01": "Bob"}
    (found,) = strangers(policy(), names)
    assert found == "[group.staff] members: nobody named 'zoë' is enrolled; did you mean 'Zoé'?"
    assert strangers(NO_POLICY, {}) == ()
