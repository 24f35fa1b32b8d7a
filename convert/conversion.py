"""The straight line of a conversion: pictures → int8 → parity → threshold → bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from convert.calibrate import Calibration, calibrate, check_support
from convert.card import model_card
from convert.encoder import embed_float, load_encoder
from convert.evidence import Evidence, weigh_evidence
from convert.foreign import ForeignEncoder, load_foreign
from convert.forms import Form, compare_forms, form_path, write_form
from convert.golden import Golden, judge_golden, threshold_of
from convert.layers import layer_errors, where_lost
from convert.package import check_target, write_bundle
from convert.parity import Parity, agreement, spread, subset
from convert.pictures import CalibrationPictures, read_index, read_pictures
from convert.provenance import FITTED_ON_UNKNOWN, TrainingRun, unfitted, versions
from convert.quantize import float_encoder, quantize_network
from convert.runtimes import embed_int8
from edge.align import ALIGNMENT
from edge.bundles.bundle import Bundle
from edge.bundles.manifest import (
    CARD_FILE,
    ENCODER_FILE,
    FINDER_FILE,
    REFINER_FILE,
    EncoderFacts,
    Manifest,
    describe_files,
)
from edge.errors import BundleError, ConfigError
from edge.tflite import installed_runtimes
from edge.vocabulary import FloatArray
from train.data.framing import fingerprint
from train.errors import TooFewComparisonsError
from train.measuring.metrics import IntArray, compare_all

# tflite-runtime takes 8 to 64 ms a crop on x86-64: so many keep it below 100 s. With 300 some 40
# comparisons of few people set the threshold, and chance decided the gate.
GOLDEN_PICTURES = 1500
LAYER_PICTURES = 16

_LOG = logging.getLogger("janus.convert")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a conversion.

    Args:
        fmr: the false match rate that the threshold is chosen for.
        name: of the bundle; None takes the recipe's or the preset's.
        force: write a bundle that fails parity all the same; its manifest says so.
        also: further forms to write beside the bundle and to compare, of `convert.forms.FORMS`.
        eyes: the bundle whose eyes go into this one; None leaves it without.
        key: signs the bundle; None leaves it unsigned.
    """

    fmr: float
    name: str | None = None
    force: bool = False
    also: tuple[str, ...] = ()
    eyes: Bundle | None = None
    key: Ed25519PrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion made and measured; ``forms`` is empty unless others were wished for."""

    manifest: Manifest
    parity: Parity
    golden: Golden
    calibration: Calibration
    evidence: Evidence
    pictures: CalibrationPictures
    forms: tuple[Form, ...]


def convert(
    origin: TrainingRun | ForeignEncoder, calibration: Path, out: Path, wishes: Wishes
) -> Conversion:
    """Make the bundle *out* of the encoder of *origin*.

    Args:
        origin: a training run, or a model that the user brings.
        calibration: pictures of people whom the encoder was not fitted on.
        out: the bundle's directory; replaced if it is a bundle already.
        wishes: what is wanted.

    Raises:
        BundleError: if the encoder cannot be converted, or int8 is not near enough to float.
        DataSetError, TooFewComparisonsError: if the pictures are missing or too few for the FMR.
        ConfigError: if no TFLite runtime is installed.
    """
    check_target(out)
    pictures = _pictures(origin, calibration)
    _check_counts(pictures, wishes.fmr)
    runtimes = installed_runtimes()
    if not runtimes:
        raise ConfigError("no TFLite runtime is installed; run: pip install ai-edge-litert")
    if isinstance(origin, ForeignEncoder):
        model = load_foreign(origin, pictures.representative)
    else:
        model = load_encoder(origin.encoder)
    encoder = quantize_network(model, pictures.representative)
    in_float = embed_float(model, pictures.crops.pixels)
    golden = subset(pictures.crops.numbers, GOLDEN_PICTURES)
    crops = pictures.crops.pixels
    in_int8 = embed_int8(encoder, crops, runtimes[0])
    of_golden = {
        each: in_int8[golden] if each == runtimes[0] else embed_int8(encoder, crops[golden], each)
        for each in runtimes
    }
    parity = _agreements(pictures, in_float, in_int8, of_golden, golden)
    if not parity.passed and not wishes.force:
        raise BundleError(_why_refused(parity, model, encoder, pictures, origin))
    compared = compare_all(in_int8, pictures.crops.numbers)
    point = calibrate(compared, wishes.fmr, pictures.data_id)
    numbers = pictures.crops.numbers
    thresholds = (threshold_of(in_float, numbers, wishes.fmr), point.point.threshold)
    flips = Golden(
        f"{pictures.name}: {fingerprint(pictures.crops.at(golden))}",
        judge_golden(in_float[golden], of_golden, numbers[golden], thresholds),
    )
    evidence = weigh_evidence(compared, point.effective_comparisons)
    files = {ENCODER_FILE: encoder, **_eyes_files(wishes.eyes)}
    manifest = Manifest(
        name=wishes.name or origin.name,
        alignment=ALIGNMENT,
        files=describe_files(files),
        encoder=EncoderFacts(embedding_size=in_float.shape[1]),
        eyes=wishes.eyes.manifest.eyes if wishes.eyes else None,
        operating_point=point.point,
        evidence=evidence.map,
        parity=parity.facts(),
        training=origin.facts()
        | {
            "calibration": _evidence(point, evidence, pictures, runtimes[0]),
            "golden": flips.facts(),
        },
        versions=versions(),
    )
    others = {kind: float_encoder(model, half=kind == "float16") for kind in wishes.also}
    forms = compare_forms({"int8": encoder} | others, pictures.crops, in_float, golden, runtimes)
    files[CARD_FILE] = model_card(manifest)
    manifest = write_bundle(out, manifest, files, key=wishes.key)
    for kind, content in others.items():
        write_form(form_path(out, kind), content)
    return Conversion(manifest, parity, flips, point, evidence, pictures, forms if others else ())


def _pictures(origin: TrainingRun | ForeignEncoder, calibration: Path) -> CalibrationPictures:
    if isinstance(origin, ForeignEncoder):
        return read_pictures(calibration, note=FITTED_ON_UNKNOWN)
    _warn_of_framing(origin)
    wanted, note = unfitted(origin, read_index(calibration).subjects)
    if note == FITTED_ON_UNKNOWN:
        _LOG.warning(
            "there is no metrics.json beside %s that says whom it was fitted on; if they are among "
            "%s, the threshold is too low for everybody else",
            origin.encoder,
            calibration,
        )
    return read_pictures(calibration, wanted, note=note)


def _eyes_files(eyes: Bundle | None) -> Mapping[str, bytes]:
    if eyes is None:
        return {}
    return {name: eyes.contents[name] for name in (FINDER_FILE, REFINER_FILE)}


def _why_refused(
    parity: Parity,
    model: Any,  # noqa: ANN401 - keras is untyped
    encoder: bytes,
    pictures: CalibrationPictures,
    origin: TrainingRun | ForeignEncoder,
) -> str:
    ours = isinstance(origin, TrainingRun)
    some = pictures.representative[:LAYER_PICTURES]
    return (
        f"int8 is not near enough to float: {'; '.join(parity.failures)}. "
        f"{where_lost(layer_errors(float_encoder(model), encoder, some), ours=ours)} Also try "
        "pictures like the door's for --calibration; --force writes a bundle that no door opens"
    )


def _check_counts(pictures: CalibrationPictures, fmr: float) -> None:
    """Refuse pictures that cannot support *fmr* before anything takes long."""
    numbers = pictures.crops.numbers
    of_each = np.bincount(numbers)
    total = len(numbers) * (len(numbers) - 1) // 2
    mated = int(np.sum(of_each * (of_each - 1) // 2))
    try:
        check_support(fmr, subjects=of_each.size, nonmated=total - mated, mated=mated)
    except TooFewComparisonsError as exc:
        if not pictures.selection.passed_over:
            raise
        raise TooFewComparisonsError(f"{exc} ({pictures.selection})") from exc


def _agreements(
    pictures: CalibrationPictures,
    in_float: FloatArray,
    in_int8: FloatArray,
    of_golden: Mapping[str, FloatArray],
    golden: IntArray,
) -> Parity:
    """Return parity: of the first runtime on all crops, of the others on the *golden* ones."""
    first, *others = of_golden
    numbers = pictures.crops.numbers
    agreements = [agreement(first, in_float, in_int8, numbers)]
    agreements += [
        agreement(each, in_float[golden], of_golden[each], numbers[golden]) for each in others
    ]
    return Parity(tuple(agreements), spread(in_float))


def _evidence(
    calibration: Calibration, evidence: Evidence, pictures: CalibrationPictures, runtime: str
) -> dict[str, object]:
    """Return what the fields of the manifest have no place for."""
    return {
        "people": pictures.note,
        "pictures": pictures.selection.facts(),
        "subjects": calibration.subjects,
        "effective_comparisons": calibration.effective_comparisons,
        "fmr_upper_95": calibration.fmr_upper,
        "evidence": evidence.facts(),
        "runtime": runtime,
    }


def _warn_of_framing(run: TrainingRun) -> None:
    frames = run.recipe.get("frames", "aligned")
    if frames != "aligned":
        _LOG.warning(
            "the encoder was trained on pictures framed %r, while the door shows aligned crops, on "
            "which all is measured here; for a door, train with --frames aligned",
            frames,
        )
