"""Configuration: one file, one frozen object, and errors that name the nearest valid thing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge.config import DoorConfig, find_config, parse_config, read_config
from edge.errors import ConfigError
from edge.example import example_config

BASE = Path("/etc/janus")


def test_example_is_valid_and_holds_exactly_the_defaults():
    assert parse_config(tomllib.loads(example_config()), base=BASE) == DoorConfig()


def test_empty_file_means_defaults():
    assert parse_config({}, base=BASE) == DoorConfig()


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"camara": {}}, "did you mean 'camera'"),
        ({"camera": {"backends": "x"}}, "did you mean 'backend'"),
        ({"encoder": {"trusted_keys": "door.pub"}}, 'in brackets: ["door.pub"]'),
        ({"encoder": {"trusted_keys": [3]}}, "trusted_keys = 3; expected a path in quotes"),
        ({"encoder": {"allow_unsigned": "yes"}}, "expected true or false"),
        ({"camera": {"backend": "opencvv"}}, "did you mean 'opencv'"),
        ({"camera": {"rotate_deg": 100}}, "expected one of 0, 90, 180, 270; the nearest is 90"),
        ({"store": {"gallery": "~nobody-of-that-name/x"}}, "[store] gallery"),
        ({"detector": {"model": "yunet.onnx"}}, "the others take none"),
        ({"detector": {"backend": "yunet"}}, "yunet needs the path"),
        ({"decision": {"least_frames": 20}}, "least_frames = 20 is more than most_frames = 15"),
        ({"camera": {"frame_rate_hz": 1}, "decision": {"most_s": 0.5}}, "raise most_s"),
        ({"relay": {"release_s": 5}, "decision": {"repeat_s": 4}}, "raise repeat_s"),
        ({"camera": 3}, "write [camera]"),
        ({"relay": {"release_s": 120}}, "[relay] release_s = 120.0; expected 0.1 to 10; the near"),
        ({"relay": {"release_s": float("nan")}}, "expected 0.1 to 10"),
        ({"relay": {"release_s": "3"}}, "expected a number"),
        ({"relay": {"pin": 1.5}}, "expected a whole number"),
        ({"relay": {"pin": True}}, "expected a whole number"),
        ({"relay": {"active_high": 1}}, "expected true or false"),
        ({"relay": {"pin_factory": "pigpio"}}, "expected one of 'lgpio', 'native', 'mock'"),
        ({"inputs": {"exit_pin": 17}}, "[inputs] exit_pin = 17 is [relay] pin already"),
        (
            {"inputs": {"contact_pin": 5}, "signals": {"led_pin": 5}},
            "[signals] led_pin = 5 is [inputs] contact_pin already",
        ),
        (
            {"inputs": {"contact_pin": 5}, "access": {"keypad": "matrix"}},
            "[access] keypad_rows = 5 is [inputs] contact_pin already",
        ),
        ({"inputs": {"exit_pin": 54}}, "[inputs] exit_pin = 54; expected 0 to 53"),
        ({"inputs": {"exit_pin": "6"}}, "expected a whole number"),
        ({"door": {"fails": "safe"}}, "a magnet has no handle"),
        ({"door": {"fails": "open"}}, "expected one of 'secure', 'safe'"),
        ({"door": {"unlocked_hours": ["mon-fri 9-17"]}}, "[door] unlocked_hours"),
        ({"store": {"gallery": 7}}, "expected a path"),
        ({"store": {"gallery": ""}}, "expected a path"),
        ({"decision": {"least_frames": 0}}, "the nearest is 1"),
    ],
)
def test_wrong_entry_names_field_value_and_nearest_valid_one(tables, expected):
    with pytest.raises(ConfigError) as caught:
        parse_config(tables, base=BASE)
    assert expected in str(caught.value)


def test_relative_paths_start_at_the_file(tmp_path):
    file = tmp_path / "janus.toml"
    file.write_text('[store]\ngallery = "g.sqlite"\naudit = "/var/a.sqlite"\n')
    store = read_config(file).store
    assert (store.gallery, store.audit) == (tmp_path / "g.sqlite", Path("/var/a.sqlite"))


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ('backend = "folder"\nsource = "frames"', "{site}/frames"),
        ('backend = "opencv"\nsource = "film.mp4"', "{site}/film.mp4"),
        ('backend = "opencv"\nsource = "2"', "2"),
        ('backend = "opencv"\nsource = "/dev/video0"', "/dev/video0"),
        ('backend = "opencv"\nsource = "rtsp://cam/1"', "rtsp://cam/1"),
    ],
)
def test_film_or_folder_of_the_camera_starts_at_the_file_too(tmp_path, camera, expected):
    file = tmp_path / "janus.toml"
    file.write_text(f"[camera]\n{camera}\n")
    assert read_config(file).camera.source == expected.format(site=tmp_path)


def test_name_too_long_for_a_file_is_told_in_one_line():
    with pytest.raises(ConfigError, match="cannot be reached"):
        find_config(Path("x" * 5000))


@pytest.mark.parametrize("content", [b"[camera", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_file_that_is_not_toml_is_named(tmp_path, content):
    file = tmp_path / "janus.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"janus\.toml"):
        read_config(file)


def test_missing_file_says_how_to_write_one(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="janus config --example"):
        find_config(tmp_path / "none.toml")
    monkeypatch.setenv("JANUS_CONFIG", str(tmp_path / "named.toml"))
    with pytest.raises(ConfigError, match=r"named\.toml"):
        find_config(None)


def test_environment_names_the_file_and_the_option_beats_it(tmp_path, monkeypatch):
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).touch()
    monkeypatch.setenv("JANUS_CONFIG", str(tmp_path / "a.toml"))
    assert find_config(None) == tmp_path / "a.toml"
    assert find_config(tmp_path / "b.toml") == tmp_path / "b.toml"


def test_gpio_mock_and_folder_camera_are_never_defaults():
    config = DoorConfig()
    assert (config.relay.pin_factory, config.camera.backend) == ("lgpio", "picamera2")


def test_trusted_keys_start_at_the_files_directory():
    config = parse_config({"encoder": {"trusted_keys": ["a.pub", "/keys/b.pub"]}}, base=BASE)
    assert config.encoder.trusted_keys == (BASE / "a.pub", Path("/keys/b.pub"))
