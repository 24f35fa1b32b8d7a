"""The arguments of `janus evaluate`; what they ask for is measured in `train.measuring.measure`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from edge.config import DetectorConfig
from edge.errors import ConfigError
from train.data.cutting import SMALLEST_FACE_PX
from train.data.readers import READERS


def evaluate_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of `janus evaluate`."""
    parser.add_argument(
        "encoder",
        type=Path,
        help="a run, an encoder.keras, a bundle, a peer's ONNX file, or the word dlib",
    )
    parser.add_argument(
        "--data", required=True, type=Path, metavar="DIR", dest="pictures", help="the pictures"
    )
    parser.add_argument(
        "--layout",
        default="folder",
        choices=sorted(READERS),
        help="how the pictures are laid out (default: folder, one per person; crops: archives)",
    )
    parser.add_argument(
        "--frames",
        choices=("whole", "centre", "aligned"),
        help="whole for pictures that are 112x112 crops already (default: whole for --layout "
        "crops, else aligned)",
    )
    add_detector(parser)
    parser.add_argument(
        "--subjects", nargs="+", metavar="NAME", help="measure these people only (default: all)"
    )
    parser.add_argument(
        "--strangers",
        action="store_true",
        help="--layout crops: take pictures without a subject too, each as a person of its own",
    )
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="COLUMN",
        dest="groups",
        help="report false matches and false non-matches by `source` or a column of index.csv, "
        "worst first; several with commas between are taken together; may be repeated",
    )
    parser.add_argument(
        "--threshold",
        type=cosine,
        metavar="COSINE",
        help="of the groups' rates (default: the bundle's own, else the lowest supported)",
    )
    parser.add_argument("--pairs", type=Path, help="LFW's pairs.txt: its 6,000 pairs, ten folds")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep embeddings there, for a slow encoder"
    )
    parser.add_argument("--report", type=Path, metavar="HTML", help="write a page with pictures")
    parser.add_argument("--figures", type=Path, metavar="JSON", help="write the figures")


def add_detector(parser: ArgumentParser) -> None:
    """Declare --detector and --detector-model."""
    parser.add_argument(
        "--detector",
        choices=("haar", "janus", "yunet"),
        help=f"what finds the faces (default: {DetectorConfig().backend})",
    )
    parser.add_argument(
        "--detector-model", type=Path, metavar="ONNX", help="--detector yunet: its file"
    )


def detector_of(arguments: Namespace) -> DetectorConfig:
    """Return the detector that --detector names, for faces from 36 px.

    Raises:
        ConfigError: if YuNet comes without its file, or another with one.
    """
    backend = arguments.detector or DetectorConfig().backend
    model = arguments.detector_model
    if (backend == "yunet") != (model is not None):
        raise ConfigError(
            f"--detector {backend} with --detector-model {model}; yunet needs the path of its "
            "ONNX file, the others take none"
        )
    return DetectorConfig(backend=backend, model=model, smallest_face_px=SMALLEST_FACE_PX)


def cosine(text: str) -> float:
    """Parse a cosine."""
    try:
        value = float(text)
    except ValueError:
        value = 2.0
    if not -1 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is no cosine; write a number from -1 to 1")
    return value


def evaluate(arguments: Namespace) -> int:
    """Measure what the arguments name."""
    from train.measuring.measure import Task, measure  # noqa: PLC0415 - it imports Keras when it runs

    frames = arguments.frames or ("whole" if arguments.layout == "crops" else "aligned")
    detector = detector_of(arguments) if frames == "aligned" else None
    if detector is None and arguments.detector is not None:
        raise ConfigError(
            f"--detector is for --frames aligned; {frames} takes pictures as they are"
        )
    task = Task(
        pictures=arguments.pictures,
        layout=arguments.layout,
        frames=frames,
        detector=detector,
        subjects=arguments.subjects,
        strangers=arguments.strangers,
        pairs=arguments.pairs,
        groups=arguments.groups,
        threshold=arguments.threshold,
        cache=arguments.cache,
        report=arguments.report,
        figures=arguments.figures,
    )
    measure(arguments.encoder, task)
    return 0
