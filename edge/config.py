"""One TOML file becomes one frozen, validated object, read once.

Every default, unit and bound is written here and nowhere else: `janus config --example` prints
this file's knowledge. Thresholds are not configuration; they come with the model bundle.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from edge.errors import ConfigError

SYSTEM_PATH = Path("/etc/janus/janus.toml")
ENVIRONMENT_VARIABLE = "JANUS_CONFIG"
SHIPPED_BUNDLE = Path(__file__).parent / "model"

T = TypeVar("T")


def _key(
    default: object,
    meaning: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[object, ...] = (),
) -> Any:  # noqa: ANN401 - dataclasses.field is typed as the value that it stands for
    """Describe one key: its default, its meaning with the unit, and what it may be."""
    bounds = {"meaning": meaning, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=bounds)


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """Where frames come from."""

    backend: str = _key(
        "picamera2",
        "picamera2 (Pi camera), opencv (USB, RTSP, film file) or folder (pictures in name order)",
        choices=("picamera2", "opencv", "folder"),
    )
    source: str = _key(
        "0", "opencv: device number, /dev/video*, rtsp:// URL or film file; folder: its path"
    )
    width_px: int = _key(640, "frame width in pixels", least=160, most=4096)
    height_px: int = _key(480, "frame height in pixels", least=120, most=4096)
    frame_rate_hz: float = _key(15.0, "frames a second asked of the camera", least=1, most=120)
    timeout_s: float = _key(
        3.0, "longest wait for a frame before it is an error", least=0.2, most=60
    )
    rotate_deg: int = _key(0, "turn each frame clockwise by so much", choices=(0, 90, 180, 270))


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """How faces are found."""

    backend: str = _key(
        "haar",
        "haar (ships with OpenCV), janus (the networks of the bundle) or yunet",
        choices=("haar", "janus", "yunet"),
    )
    model: Path | None = _key(None, "yunet only: path of its ONNX file")
    smallest_face_px: int = _key(60, "narrowest face box that is searched", least=24, most=1000)
    score: float = _key(0.7, "yunet only: lowest detector score", least=0.0, most=1.0)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Which bundle embeds faces, and by which runtime."""

    bundle: Path | None = _key(
        None, "bundle directory; left out: as `janus bundle install` chose, else as shipped"
    )
    trusted_keys: tuple[Path, ...] = _key(
        (), "public keys (`janus keys new`) whose bundles are opened; the shipped one needs none"
    )
    allow_unsigned: bool = _key(
        False, "true: open bundles that nobody signed, which anybody could have written"
    )
    runtime: str = _key(
        "auto",
        "ai-edge-litert or tflite-runtime; auto takes the first of them that is installed",
        choices=("auto", "ai-edge-litert", "tflite-runtime"),
    )
    threads: int = _key(2, "threads of the interpreter", least=1, most=16)


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """Which faces are fit to be judged, at the door and at enrolment."""

    eye_distance_px: float = _key(
        24.0, "smallest distance between the eyes, in pixels", least=0, most=500
    )
    darkest: float = _key(
        60.0, "lowest luminance of the face's brightest hundredth, 0 to 255", least=0, most=255
    )
    brightest: float = _key(225.0, "highest mean luminance of the aligned face", least=0, most=255)
    sharpness: float = _key(
        8.0,
        "lowest variance of the Laplacian of the aligned face at mid-grey, in squared grey levels",
        least=0,
        most=1e6,
    )
    yaw_deg: float = _key(30.0, "most degrees turned aside; 180: any", least=0, most=180)
    pitch_deg: float = _key(15.0, "most degrees up or down; 180: any", least=0, most=180)
    roll_deg: float = _key(40.0, "most degrees to a shoulder; 180: any", least=0, most=180)
    enrol_yaw_deg: float = _key(25.0, "as yaw_deg, if lower, of a reference", least=0, most=180)
    enrol_pitch_deg: float = _key(12.0, "as pitch_deg, if lower, of a reference", least=0, most=180)
    eye_light: float = _key(
        0.45, "least light on an eye as a share of that on its cheek; 0: any", least=0, most=1
    )
    mouth_edges: float = _key(
        0.02,
        "least mean change of light down the mouth, a pixel of the aligned face, as a share of its "
        "luminance; 0: any",
        least=0,
        most=1,
    )


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """When evidence is enough."""

    agree_frames: int = _key(
        3, "consecutive judged frames that must name one subject", least=1, most=100
    )
    window_s: float = _key(2.0, "those frames lie within so many seconds", least=0.1, most=60)
    margin: float = _key(
        0.05, "the best subject's cosine leads the second's by at least this", least=0.0, most=1.0
    )
    deny_frames: int = _key(
        15, "judged frames without a grant that make one denial", least=1, most=10000
    )
    visit_gap_s: float = _key(1.5, "seconds without a face that end a visit", least=0.1, most=60)
    repeat_s: float = _key(
        30.0,
        "seconds until one who stays in view is granted, or denied, again",
        least=1,
        most=3600,
    )


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """The relay of the door strike."""

    pin: int = _key(17, "GPIO number (BCM numbering)", least=0, most=53)
    active_high: bool = _key(True, "true: a high level releases the strike")
    release_s: float = _key(3.0, "seconds that the strike stays released", least=0.1, most=10.0)
    pin_factory: str = _key(
        "lgpio", "gpiozero's pin factory; mock drives nothing", choices=("lgpio", "native", "mock")
    )


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where the door remembers."""

    gallery: Path = _key(Path("/var/lib/janus/gallery.sqlite"), "enrolled references (SQLite)")
    audit: Path = _key(Path("/var/lib/janus/audit.sqlite"), "hash-chained decisions (SQLite)")
    bundles: Path = _key(Path("/var/lib/janus/bundles"), "bundles of `janus bundle install`")
    keep_crops: bool = _key(
        False, "true: keep the face crops of enrolment, so that a new encoder can embed them again"
    )


@dataclass(frozen=True, slots=True)
class DoorConfig:
    """The whole configuration; each field is one table of the TOML file."""

    camera: CameraConfig = CameraConfig()
    detector: DetectorConfig = DetectorConfig()
    encoder: EncoderConfig = EncoderConfig()
    quality: QualityConfig = QualityConfig()
    decision: DecisionConfig = DecisionConfig()
    relay: RelayConfig = RelayConfig()
    store: StoreConfig = StoreConfig()


def find_config(named: Path | None) -> Path:
    """Return the file that is in force: *named*, else $JANUS_CONFIG, else /etc/janus/janus.toml.

    Raises:
        ConfigError: if that file does not exist.
    """
    from_environment = os.environ.get(ENVIRONMENT_VARIABLE)
    path = named or (Path(from_environment) if from_environment else SYSTEM_PATH)
    try:
        found = path.is_file()
    except OSError as exc:
        raise ConfigError(f"{path} cannot be reached: {exc.strerror}; check --config") from exc
    if not found:
        raise ConfigError(
            f"there is no configuration at {path}; write one with "
            f"`janus config --example > janus.toml` and pass --config janus.toml, or set "
            f"{ENVIRONMENT_VARIABLE}"
        )
    return path


def read_config(path: Path) -> DoorConfig:
    """Read and validate the TOML file at *path*; its relative paths start at its own directory.

    Raises:
        ConfigError: with the file, the field, the value and the nearest valid one.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read as TOML: {exc}") from exc
    try:
        return parse_config(tables, base=path.resolve().parent)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def parse_config(tables: Mapping[str, object], *, base: Path) -> DoorConfig:
    """Validate the tables of a TOML file; relative paths start at *base*.

    Raises:
        ConfigError: with the field, the value and the nearest valid one.
    """
    known = {each.name: each for each in fields(DoorConfig)}
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        if name not in known:
            raise ConfigError(f"unknown table [{name}]{_nearest(name, known)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{name} = {table!r} is a table: write [{name}] and keys below it")
        sections[name] = _parse_table(name, table, type(known[name].default), base)
    config = DoorConfig(**sections)
    _check_together(config)
    source = config.camera.source
    if config.camera.backend == "folder" or not is_device(source):
        config = replace(config, camera=replace(config.camera, source=str(base / source)))
    return config


def is_device(source: str) -> bool:
    """Tell whether a camera's *source* is a device or an address, not a path."""
    return source.isdecimal() or source.startswith("/dev/") or "://" in source


def _check_together(config: DoorConfig) -> None:
    """Refuse keys that are each possible, but together make a door that cannot work.

    Raises:
        ConfigError: with both keys and their values.
    """
    decision, relay, detector = config.decision, config.relay, config.detector
    if decision.agree_frames > decision.deny_frames:
        raise ConfigError(
            f"[decision] agree_frames = {decision.agree_frames} is more than deny_frames = "
            f"{decision.deny_frames}: every visit would be denied first; raise deny_frames"
        )
    needed_s = (decision.agree_frames - 1) / config.camera.frame_rate_hz
    if needed_s >= decision.window_s:
        raise ConfigError(
            f"[decision] agree_frames = {decision.agree_frames} take {needed_s:g} s at [camera] "
            f"frame_rate_hz = {config.camera.frame_rate_hz:g}, not less than window_s = "
            f"{decision.window_s:g}: nobody would get in; raise window_s"
        )
    if relay.release_s >= decision.repeat_s:
        raise ConfigError(
            f"[relay] release_s = {relay.release_s:g} is not less than [decision] repeat_s = "
            f"{decision.repeat_s:g}: who stays in view would keep the door open; raise repeat_s"
        )
    if (detector.backend == "yunet") != (detector.model is not None):
        raise ConfigError(
            f"[detector] backend = {detector.backend!r} with model = {str(detector.model)!r}; "
            "yunet needs the path of its ONNX file, haar takes none"
        )


def _parse_table(name: str, table: Mapping[str, object], kind: type[T], base: Path) -> T:
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, object] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"[{name}] has no key {key!r}{_nearest(key, known)}")
        values[key] = _parse_value(f"[{name}] {key}", value, known[key], base)
    return kind(**values)


def _parse_value(where: str, value: object, described: Field[Any], base: Path) -> object:
    """Check one value against its field's type, choices and bounds; never coerce silently."""
    wanted = str(described.type)
    if wanted.startswith("tuple[Path"):
        if not isinstance(value, list):
            raise ConfigError(f'{where} = {value!r}; expected paths in brackets: ["door.pub"]')
        return tuple(_parse_path(where, each, base) for each in value)
    if "Path" in wanted:
        return _parse_path(where, value, base)
    value = float(value) if wanted == "float" and type(value) is int else value
    if type(value).__name__ != wanted:
        raise ConfigError(f"{where} = {value!r}; expected {_ARTICLES[wanted]}")
    choices = described.metadata["choices"]
    if choices and value not in choices:
        listed = ", ".join(map(repr, choices))
        near = _nearest(value, choices)
        if isinstance(value, int):
            near = f"; the nearest is {min(choices, key=lambda each: abs(each - value))}"
        raise ConfigError(f"{where} = {value!r}; expected one of {listed}{near}")
    least, most = described.metadata["least"], described.metadata["most"]
    if least is not None and most is not None and not least <= value <= most:
        near = min(max(value, least), most)
        near = least if near != near else near  # noqa: PLR0124 - NaN is not equal to itself
        raise ConfigError(
            f"{where} = {value!r}; expected {least:g} to {most:g}; the nearest is {near:g}"
        )
    return value


def _parse_path(where: str, value: object, base: Path) -> Path:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} = {value!r}; expected a path in quotes")
    try:
        return base / Path(value).expanduser()
    except RuntimeError as exc:
        raise ConfigError(f"{where} = {value!r}: {exc}") from exc


_ARTICLES = {
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def _nearest(wrong: object, known: Mapping[str, object] | tuple[object, ...]) -> str:
    """Return a hint that names the nearest of *known*."""
    names = [str(each) for each in known]
    close = difflib.get_close_matches(str(wrong), names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"
