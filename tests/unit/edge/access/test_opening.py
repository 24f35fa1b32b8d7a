"""The gate as a configuration opens it, and the page that explains it."""

from __future__ import annotations

import re
import time
import tomllib
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.access.gate import AccessReason, Answer
from edge.access.opening import boot_id, moment_now, open_gate, policy_of, state_path
from edge.access.pins import Cost, make_pin
from edge.access.policy import NO_POLICY, Group, GroupTable, admission, parse_policy
from edge.access.state import AccessStore
from edge.config import AccessConfig, parse_config
from edge.errors import AccessError, ConfigError
from edge.vocabulary import Decision, Outcome, Reason

PAGE = (Path(__file__).parents[4] / "docs" / "access.md").read_text(encoding="utf-8")
GRANT = Decision(Outcome.GRANT, Reason.MATCH, 0.0, "a1", 0.8, 0.5, 3, "m")
DENIAL = replace(GRANT, outcome=Outcome.DENY, reason=Reason.NO_MATCH, subject_id=None)


def configured(folder, text=""):
    tables = tomllib.loads('[store]\ngallery = "gallery.sqlite"\naudit = "audit.sqlite"\n' + text)
    return parse_config(tables, base=folder)


def test_without_a_word_about_access_the_door_lets_in_who_is_enrolled(tmp_path):
    config = configured(tmp_path)
    assert policy_of(config) is NO_POLICY
    assert state_path(config) == tmp_path / "access.sqlite"
    gate = open_gate(config, dict)
    assert gate.consider(GRANT, moment_now()).opens
    gate.close()


def test_failures_are_still_there_when_the_door_starts_again(tmp_path):
    config = configured(tmp_path)
    for _ in range(2):
        gate = open_gate(config, dict)
        for _ in range(3):
            gate.failed(DENIAL, moment_now())
        gate.close()
    gate = open_gate(config, dict)
    verdict = gate.consider(GRANT, moment_now())
    assert (verdict.answer, verdict.reason) == (Answer.LOCKED_OUT, AccessReason.PAUSED_DOOR)
    gate.close()


def test_a_pin_is_not_asked_again_when_only_the_program_starts_again(tmp_path):
    config = configured(tmp_path, '[access]\nkeypad = "matrix"\n')
    with AccessStore(state_path(config)) as store:
        store.set_pin("a1", make_pin("8305", cost=Cost(8, 1)))
        store.prove("a1", boot_id())
    gate = open_gate(config, dict)
    assert gate.consider(GRANT, moment_now()).opens
    gate.close()


def test_the_state_can_lie_elsewhere(tmp_path):
    config = configured(tmp_path, '[access]\nstate = "elsewhere.sqlite"\n')
    open_gate(config, dict).close()
    assert (tmp_path / "elsewhere.sqlite").exists()
    assert not (tmp_path / "access.sqlite").exists()


def test_a_state_that_is_damaged_keeps_the_door_shut(tmp_path):
    (tmp_path / "access.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(AccessError, match="access state"):
        open_gate(configured(tmp_path), dict)


@pytest.mark.parametrize(
    ("asked", "factor"), [("always", "pin"), ("always", "button"), ("unsure", "button")]
)
def test_a_group_that_needs_what_the_door_has_not_is_refused(tmp_path, asked, factor):
    """Nobody of it could give it, and nobody would know why the door stays shut."""
    (tmp_path / "policy.toml").write_text(
        f'[group.a]\nmembers = ["*"]\nsecond_factor = "{asked}"\nsecond_factor_by = "{factor}"\n'
    )
    without = configured(tmp_path, '[access]\npolicy = "policy.toml"\n')
    with pytest.raises(ConfigError, match=rf"\[group\.a\] asks for the {factor}"):
        policy_of(without)
    wired = '[access]\npolicy = "policy.toml"\nkeypad = "matrix"\n[inputs]\nbutton_pin = 22\n'
    assert policy_of(configured(tmp_path, wired)).groups[0].second_factor_by == factor


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('keypad = "usb"\n', "usb needs the device"),
        ('keypad_device = "/dev/input/x"\n', "usb needs the device"),
        ('keypad = "matrix"\nkeypad_rows = [5, 6]\n', "a keypad has 4 rows and 3 columns"),
        ('keypad = "matrix"\nkeypad_rows = [5, 6, 13, 99]\n', "expected GPIO numbers from 0 to 27"),
        ('keypad = "matrix"\nkeypad_rows = [5, 5, 13, 19]\n', "5"),
        ('keypad = "matrix"\nkeypad_columns = [17, 16, 20]\n', "17"),
        ('keypad_rows = ["5"]\n', "whole numbers in brackets"),
        ("keypad_rows = [true, 1, 2, 3]\n", "whole numbers in brackets"),
        ('keypad = "uzb"\n', "did you mean 'usb'?"),
        ("pause_s = 5\n", "the nearest is 30"),
        ("pause_s = 1000\nlongest_pause_s = 100\n", "the nearest is 1000"),
        ("visitor_failures = 6\n", "the nearest is 5"),
        ("door_failures = 30\nface_off_failures = 20\n", "the nearest is 30"),
    ],
)
def test_what_cannot_be_configured_is_refused(tmp_path, text, complaint):
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, "[access]\n" + text)
    assert complaint in str(caught.value)


def test_both_clocks_tell_now():
    before_s, now, after_s = time.monotonic(), moment_now(), time.monotonic()
    assert before_s <= now.monotonic_s <= after_s
    assert abs((datetime.now(UTC) - now.utc).total_seconds()) < 60
    assert boot_id() == boot_id() != ""


def test_the_page_names_every_key_of_a_group_with_its_default():
    for key in fields(GroupTable):
        assert f"`{key.name}`" in PAGE
    for key in fields(AccessConfig):
        assert f"`{key.name}`" in PAGE


def test_the_example_of_the_page_does_what_the_page_says():
    """At ten Ada enters by face alone; at midnight with PIN and a second person."""
    examples = re.findall(r"```toml\n# policy\.toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 1
    policy = parse_policy(tomllib.loads(examples[0]))
    for hour, name, factor, persons in ((9, "staff", "unsure", 1), (23, "vault", "always", 2)):
        utc = datetime(2026, 11, 23, hour, tzinfo=UTC)
        found = admission(policy, "a1", "ada", utc, {})
        assert isinstance(found, Group)
        assert (found.name, found.second_factor, found.persons) == (name, factor, persons)
