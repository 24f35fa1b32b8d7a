"""One TOML file becomes one frozen, validated object, read once.

Every default, unit and bound is written here (what is wired: in edge/config_hardware.py) and
nowhere else: `janus config --example` prints these files' knowledge. Thresholds are not
configuration; they come with the model bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config_access import AccessConfig, check_access
from edge.config_hardware import (
    CameraConfig,
    InputsConfig,
    LockConfig,
    RelayConfig,
    SignalsConfig,
    check_lock,
    check_wiring,
)
from edge.config_health import HealthConfig
from edge.config_privacy import PrivacyConfig
from edge.config_reading import (
    ENVIRONMENT_VARIABLE,
    SYSTEM_PATH,
    find_config,
    key,
    parse_tables,
    read_tables,
)
from edge.errors import ConfigError

# Who reads a configuration needs this module only; what is defined below need not be listed.
__all__ = [
    "ENVIRONMENT_VARIABLE",
    "SYSTEM_PATH",
    "AccessConfig",
    "CameraConfig",
    "InputsConfig",
    "LockConfig",
    "PrivacyConfig",
    "RelayConfig",
    "SignalsConfig",
    "find_config",
]

SHIPPED_BUNDLE = Path(__file__).parent / "model"


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """How faces are found."""

    backend: str = key(
        "janus",
        "janus (the networks of the bundle), haar (ships with OpenCV) or yunet",
        choices=("janus", "haar", "yunet"),
    )
    model: Path | None = key(None, "yunet only: path of its ONNX file")
    smallest_face_px: int = key(
        60, "narrowest face box that counts, in pixels", least=24, most=1000
    )
    score: float = key(0.7, "yunet only: lowest detector score", least=0.0, most=1.0)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Which bundle embeds faces, and by which runtime."""

    bundle: Path | None = key(
        None, "bundle directory; left out: as `janus bundle install` chose, else as shipped"
    )
    trusted_keys: tuple[Path, ...] = key(
        (), "public keys (`janus keys new`) whose bundles are opened; the shipped one needs none"
    )
    allow_unsigned: bool = key(
        False, "true: open bundles that nobody signed, which anybody could have written"
    )
    runtime: str = key(
        "auto",
        "ai-edge-litert or tflite-runtime; auto takes the first of them that is installed",
        choices=("auto", "ai-edge-litert", "tflite-runtime"),
    )
    threads: int = key(2, "threads of the interpreter", least=1, most=16)


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """Which faces are fit to be judged, at the door and at enrolment."""

    eye_distance_px: float = key(
        24.0, "smallest distance between the eyes, in pixels", least=0, most=500
    )
    darkest: float = key(
        60.0, "lowest luminance of the face's brightest hundredth, 0 to 255", least=0, most=255
    )
    brightest: float = key(225.0, "highest mean luminance of the aligned face", least=0, most=255)
    sharpness: float = key(
        8.0,
        "lowest variance of the Laplacian of the aligned face at mid-grey, in squared grey levels",
        least=0,
        most=1e6,
    )
    yaw_deg: float = key(30.0, "most degrees turned aside; 180: any", least=0, most=180)
    pitch_deg: float = key(15.0, "most degrees up or down; 180: any", least=0, most=180)
    roll_deg: float = key(40.0, "most degrees to a shoulder; 180: any", least=0, most=180)
    enrol_yaw_deg: float = key(25.0, "as yaw_deg, if lower, of a reference", least=0, most=180)
    enrol_pitch_deg: float = key(12.0, "as pitch_deg, if lower, of a reference", least=0, most=180)
    eye_light: float = key(
        0.45, "least light on an eye as a share of that on its cheek; 0: any", least=0, most=1
    )
    mouth_edges: float = key(
        0.02,
        "least mean change of light down the mouth, a pixel of the aligned face, as a share of its "
        "luminance; 0: any",
        least=0,
        most=1,
    )


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """When evidence is enough (docs/decisions.md)."""

    false_accept_per_visit: float = key(
        1e-5, "share of strangers' visits that the face alone may let in", least=1e-9, most=0.5
    )
    false_accept_with_pin: float = key(
        1e-2,
        "share of visits in which one who knows a subject's PIN may pass for the subject",
        least=1e-9,
        most=0.5,
    )
    lead_nats: float = key(
        2.0,
        "evidence by which the likeliest subject is ahead of the second; 2.3: ten times likelier",
        least=0.1,
        most=20,
    )
    several_faces: str = key(
        "largest",
        "who is judged when several are near enough: the largest face, or nobody",
        choices=("largest", "nobody"),
    )
    least_frames: int = key(3, "judged frames that a grant rests on at least", least=1, most=100)
    most_frames: int = key(
        15, "judged frames without a grant that make one denial", least=1, most=200
    )
    most_s: float = key(5.0, "and so do so many seconds of judging", least=0.1, most=60)
    early_denial: float = key(
        0.01,
        "share of enrolled visitors who may be denied sooner than that, for looking like nobody",
        least=1e-9,
        most=0.5,
    )
    visit_gap_s: float = key(1.5, "seconds without a face that end a visit", least=0.1, most=60)
    repeat_s: float = key(
        30.0,
        "seconds until one who stays in view is granted, or denied, again",
        least=1,
        most=3600,
    )


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where the door remembers."""

    gallery: Path = key(Path("/var/lib/janus/gallery.sqlite"), "enrolled references (SQLite)")
    audit: Path = key(Path("/var/lib/janus/audit.sqlite"), "hash-chained decisions (SQLite)")
    bundles: Path = key(Path("/var/lib/janus/bundles"), "bundles of `janus bundle install`")
    keep_crops: bool = key(
        False, "true: keep the face crops of enrolment, so that a new encoder can embed them again"
    )
    snapshots: Path = key(Path("/var/lib/janus/snapshots"), "pictures of visits, if [privacy] asks")
    storage_key: Path | None = key(
        None,
        "file of the key that seals gallery and snapshots; left out: the systemd credential "
        "janus-storage-key, else storage.key beside the gallery",
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
    door: LockConfig = LockConfig()
    inputs: InputsConfig = InputsConfig()
    signals: SignalsConfig = SignalsConfig()
    store: StoreConfig = StoreConfig()
    access: AccessConfig = AccessConfig()
    health: HealthConfig = HealthConfig()
    privacy: PrivacyConfig = PrivacyConfig()


def read_config(path: Path) -> DoorConfig:
    """Read and validate the TOML file at *path*; its relative paths start at its own directory.

    Raises:
        ConfigError: with the file, the field, the value and the nearest valid one.
    """
    tables = read_tables(path)
    try:
        return parse_config(tables, base=path.resolve().parent)
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def parse_config(tables: Mapping[str, object], *, base: Path) -> DoorConfig:
    """Validate the tables of a TOML file; relative paths start at *base*.

    Raises:
        ConfigError: with the field, the value and the nearest valid one.
    """
    config = parse_tables(tables, DoorConfig, base=base)
    _check_together(config)
    check_access(config.access)
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
    if decision.least_frames > decision.most_frames:
        raise ConfigError(
            f"[decision] least_frames = {decision.least_frames} is more than most_frames = "
            f"{decision.most_frames}: every visit would be denied first; raise most_frames"
        )
    needed_s = (decision.least_frames - 1) / config.camera.frame_rate_hz
    if needed_s >= decision.most_s:
        raise ConfigError(
            f"[decision] least_frames = {decision.least_frames} take {needed_s:g} s at [camera] "
            f"frame_rate_hz = {config.camera.frame_rate_hz:g}, not less than most_s = "
            f"{decision.most_s:g}: nobody would get in; raise most_s"
        )
    if relay.release_s >= decision.repeat_s:
        raise ConfigError(
            f"[relay] release_s = {relay.release_s:g} is not less than [decision] repeat_s = "
            f"{decision.repeat_s:g}: who stays in view would keep the door open; raise repeat_s"
        )
    check_wiring(relay, config.inputs, config.signals, config.access)
    check_lock(config.door, config.inputs)
    if (detector.backend == "yunet") != (detector.model is not None):
        raise ConfigError(
            f"[detector] backend = {detector.backend!r} with model = {str(detector.model)!r}; "
            "yunet needs the path of its ONNX file, the others take none"
        )
