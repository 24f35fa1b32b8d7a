"""Pure: the policy file becomes frozen rules, and rules with a moment say who is admitted.

A subject is admitted by the first group, in the order of the file, that has the subject as a
member, is valid today, is within its hours, and waits for no other group. That group's second
factor, number of persons and re-entry time then hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

from edge.access.calendar import ALL_DAY, ALWAYS, Holidays, Schedule, parse_holiday, parse_span
from edge.access.verdict import AccessReason
from edge.config_reading import key, nearest, parse_table, read_tables
from edge.errors import ConfigError
from edge.nearest import nearest_word
from edge.stores.naming import folded

EVERYBODY = "*"
_MACHINE_ZONE = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class CalendarTable:
    """Where and when the site is."""

    time_zone: str = key("", "such as Europe/Berlin; left out: the machine's own")
    holidays: tuple[str, ...] = key((), 'days: "2026-04-03", or "12-25" for every year')


@dataclass(frozen=True, slots=True)
class GroupTable:
    """One group as it is written."""

    members: tuple[str, ...] = key((), 'names or subject ids; "*" is everybody who is enrolled')
    hours: tuple[str, ...] = key(("always",), 'such as "mon-fri 07:30-19:00" or "always"')
    holiday_hours: tuple[str, ...] = key(
        (), 'hours on holidays; left out: none, unless hours = ["always"]'
    )
    valid_from: str = key("", "first day; left out: from the beginning")
    valid_until: str = key("", "last day, included; left out: without end")
    second_factor: str = key(
        "unsure",
        "never, unsure (where the face alone is not enough) or always",
        choices=("never", "unsure", "always"),
    )
    second_factor_by: str = key("pin", "pin or button", choices=("pin", "button"))
    persons: int = key(1, "different members who must be recognised to open", least=1, most=2)
    reentry_s: float = key(
        0.0, "least seconds between two entries unless somebody left", least=0, most=86400
    )
    after_group: str = key("", "admitted only once a member of that group entered today")


@dataclass(frozen=True, slots=True)
class Group:
    """Rules for some subjects; `GroupTable` says what each means."""

    name: str
    members: frozenset[str]
    schedule: Schedule = ALWAYS
    valid_from: date = date.min
    valid_until: date = date.max
    second_factor: str = "unsure"
    second_factor_by: str = "pin"
    persons: int = 1
    reentry_s: float = 0.0
    after_group: str = ""

    def has(self, subject_id: str, name: str | None) -> bool:
        """Tell whether a subject belongs to this group, by id or by enrolled name."""
        if EVERYBODY in self.members or subject_id in self.members:
            return True
        return name is not None and folded(name) in self.members


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Every rule of a site."""

    zone: tzinfo
    holidays: Holidays
    groups: tuple[Group, ...]

    def local(self, utc: datetime) -> datetime:
        """Return what a clock on the wall of the site shows."""
        return utc.astimezone(self.zone)


# What holds without a policy file: everybody who is enrolled may enter at any time.
NO_POLICY = AccessPolicy(UTC, Holidays(), (Group("everybody", frozenset({EVERYBODY})),))

# Of several groups that do not admit, the reason that is nearest to admission is told.
_HOPES = (
    AccessReason.NOBODY_FIRST,
    AccessReason.HOLIDAY,
    AccessReason.OUTSIDE_HOURS,
    AccessReason.NOT_YET_VALID,
    AccessReason.EXPIRED,
    AccessReason.NOT_A_MEMBER,
)


def admission(
    policy: AccessPolicy,
    subject_id: str,
    name: str | None,
    utc: datetime,
    entered_on: Mapping[str, date],
) -> Group | AccessReason:
    """Return the group that admits a subject now, or why none does.

    Args:
        policy: the rules.
        subject_id: who.
        name: the enrolled name, if known.
        utc: now, with a time zone.
        entered_on: the local day on which a member of each group entered last.
    """
    local = policy.local(utc)
    refusals = {AccessReason.NOT_A_MEMBER}
    for group in policy.groups:
        if group.has(subject_id, name):
            refusal = _refusal(group, policy, local, entered_on)
            if refusal is None:
                return group
            refusals.add(refusal)
    return min(refusals, key=_HOPES.index)


def memberships(policy: AccessPolicy, subject_id: str, name: str | None) -> tuple[str, ...]:
    """Return the groups that a subject belongs to, whatever the hour."""
    return tuple(each.name for each in policy.groups if each.has(subject_id, name))


def strangers(policy: AccessPolicy, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each member of the policy whom nobody enrolled.

    Args:
        policy: the rules.
        names: subject id → enrolled name.
    """
    known = {EVERYBODY, *names, *(folded(each) for each in names.values())}
    return tuple(
        f"[group.{group.name}] members: nobody named {member!r} is enrolled"
        f"{_near_name(member, names)}"
        for group in policy.groups
        for member in sorted(group.members - known)
    )


def read_policy(path: Path) -> AccessPolicy:
    """Read and validate the policy file at *path*.

    Raises:
        ConfigError: with the file, the key, the value and the nearest valid one.
    """
    tables = read_tables(path)
    try:
        return parse_policy(tables)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def parse_policy(tables: Mapping[str, object]) -> AccessPolicy:
    """Validate the tables of a policy file.

    Raises:
        ConfigError: with the key, the value and the nearest valid one.
    """
    for name in tables:
        if name not in {"calendar", "group"}:
            raise ConfigError(f"unknown table [{name}]{nearest(name, ('calendar', 'group'))}")
    calendar = parse_table("calendar", _table("calendar", tables), CalendarTable, Path())
    groups = _table("group", tables)
    if not groups:
        raise ConfigError(
            "there is no group, so nobody could enter; write [group.everybody] with "
            'members = ["*"], or take the policy out of [access]'
        )
    return AccessPolicy(
        zone=_zone(calendar.time_zone),
        holidays=_holidays(calendar.holidays),
        groups=_ordered(_group(name, _table(name, groups, prefix="group.")) for name in groups),
    )


def _refusal(
    group: Group, policy: AccessPolicy, local: datetime, entered_on: Mapping[str, date]
) -> AccessReason | None:
    today = local.date()
    if today < group.valid_from:
        return AccessReason.NOT_YET_VALID
    if today > group.valid_until:
        return AccessReason.EXPIRED
    if not group.schedule.holds(local, policy.holidays):
        return AccessReason.HOLIDAY if today in policy.holidays else AccessReason.OUTSIDE_HOURS
    if group.after_group and entered_on.get(group.after_group) != today:
        return AccessReason.NOBODY_FIRST
    return None


def _table(name: str, tables: Mapping[str, object], *, prefix: str = "") -> Mapping[str, object]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(
            f"{prefix}{name} = {table!r} is a table: write [{prefix}{name}] and keys below it"
        )
    # TOML has days of its own; quoted or not, a day is a day.
    return {each: _quoted(value) for each, value in table.items()}


def _quoted(value: object) -> object:
    if isinstance(value, list):
        return [_quoted(each) for each in value]
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return value.isoformat() if is_day and isinstance(value, date) else value


def _group(name: str, table: Mapping[str, object]) -> Group:
    where = f"group.{name}"
    written = parse_table(where, table, GroupTable, Path())
    if not written.members:
        raise ConfigError(f'[{where}] members = []; name somebody, or "*" for everybody')
    if not written.hours:
        raise ConfigError(f'[{where}] hours = []; nobody could enter; the nearest is ["always"]')
    if written.second_factor_by == "button" and written.second_factor == "never":
        raise ConfigError(
            f"[{where}] second_factor_by = 'button' with second_factor = 'never'; no button is "
            "ever asked for; the nearest is 'unsure'"
        )
    first = _day(f"[{where}] valid_from", written.valid_from, date.min)
    last = _day(f"[{where}] valid_until", written.valid_until, date.max)
    if last < first:
        raise ConfigError(
            f"[{where}] valid_until = {last} is before valid_from = {first}; the nearest is {first}"
        )
    spans = tuple(parse_span(f"[{where}] hours", each) for each in written.hours)
    always = ALL_DAY in spans and "holiday_hours" not in table
    on_holidays = tuple(
        parse_span(f"[{where}] holiday_hours", each) for each in written.holiday_hours
    )
    return Group(
        name=name,
        members=frozenset(folded(each) for each in written.members),
        schedule=Schedule(spans, (ALL_DAY,) if always else on_holidays),
        valid_from=first,
        valid_until=last,
        second_factor=written.second_factor,
        second_factor_by=written.second_factor_by,
        persons=written.persons,
        reentry_s=written.reentry_s,
        after_group=written.after_group,
    )


def _ordered(groups: Iterable[Group]) -> tuple[Group, ...]:
    """Return the groups after a check that none waits for itself, or for one that is not there."""
    found = {each.name: each for each in groups}
    for group in found.values():
        waits, seen = group, [group.name]
        while waits.after_group:
            if waits.after_group not in found:
                raise ConfigError(
                    f"[group.{waits.name}] after_group = {waits.after_group!r}; there is no such "
                    f"group{nearest(waits.after_group, found)}"
                )
            waits = found[waits.after_group]
            if waits.name in seen:
                raise ConfigError(
                    f"[group.{group.name}] after_group: {' waits for '.join([*seen, waits.name])}; "
                    "nobody could be the first"
                )
            seen.append(waits.name)
    return tuple(found.values())


def _near_name(member: str, names: Mapping[str, str]) -> str:
    spelt = {folded(each): each for each in names.values()}
    near = nearest_word(member, spelt)
    return "" if near is None else f"; did you mean {spelt[near]!r}?"


def _day(where: str, text: str, default: date) -> date:
    if not text:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(f"{where} = {text!r} is no day ({exc}); write 2026-12-31") from exc


def _holidays(texts: tuple[str, ...]) -> Holidays:
    days = [parse_holiday("[calendar] holidays", each) for each in texts]
    return Holidays(
        dates=frozenset(each for each in days if isinstance(each, date)),
        yearly=frozenset(each for each in days if not isinstance(each, date)),
    )


def _zone(name: str) -> tzinfo:
    # A door without a policy is spared it.
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415 - see above

    try:
        if name:
            return ZoneInfo(name)
        with _MACHINE_ZONE.open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:
        return UTC  # as the C library takes it where no zone is set
    except (OSError, ValueError) as exc:
        raise ConfigError(f"[calendar] time_zone = {name!r} cannot be read: {exc}") from exc
    except KeyError as exc:  # ZoneInfoNotFoundError
        near = nearest_word(name, sorted(available_timezones()))
        hint = f"; did you mean {near!r}?" if near else ", see `timedatectl list-timezones`"
        raise ConfigError(f"[calendar] time_zone = {name!r} is not known{hint}") from exc
