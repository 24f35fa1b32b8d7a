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
from convert.encoder import embed_float, load_encoder
from convert.evidence import Evidence, weigh_evidence
from convert.foreign import ForeignEncoder, load_foreign
from convert.forms import Form, compare_forms, form_path, write_form
from convert.layers import layer_errors, where_lost
from convert.package import check_target, write_bundle
from convert.parity import Parity, agreement, spread, subset
from convert.pictures import CalibrationPictures, read_index, read_pictures
from convert.provenance import TrainingRun, unfitted, versions
from convert.quantize import float_encoder, quantize_network
from convert.runtimes import embed_int8
from edge.align import ALIGNMENT
from edge.bundles.bundle import Bundle
from edge.bundles.manifest import (
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
from train.measuring.metrics import IntArray, compare_all

# tflite-runtime takes 64 ms a crop on x86-64: so many keep it below 20 s.
PARITY_PICTURES = 300
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
    _check_counts(pictures.crops.numbers, wishes.fmr)
    runtimes = installed_runtimes()
    if not runtimes:
        raise ConfigError("no TFLite runtime is installed; run: pip install ai-edge-litert")
    if isinstance(origin, ForeignEncoder):
        model = load_foreign(origin, pictures.representative)
    else:
        model = load_encoder(origin.encoder)
    encoder = quantize_network(model, pictures.representative)
    in_float = embed_float(model, pictures.crops.pixels)
    parity, in_int8 = _measure(encoder, pictures, in_float, runtimes)
    if not parity.passed and not wishes.force:
        raise BundleError(_why_refused(parity, model, encoder, pictures))
    compared = compare_all(in_int8, pictures.crops.numbers)
    point = calibrate(compared, wishes.fmr, pictures.data_id)
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
        training=origin.facts() | {"calibration": _evidence(point, evidence, runtimes[0])},
        versions=versions(),
    )
    others = {kind: float_encoder(model, half=kind == "float16") for kind in wishes.also}
    rows = subset(pictures.crops.numbers, PARITY_PICTURES)
    forms = compare_forms({"int8": encoder} | others, pictures.crops, in_float, rows, runtimes)
    manifest = write_bundle(out, manifest, files, key=wishes.key)
    for kind, content in others.items():
        write_form(form_path(out, kind), content)
    return Conversion(manifest, parity, point, evidence, pictures, forms if others else ())


def _pictures(origin: TrainingRun | ForeignEncoder, calibration: Path) -> CalibrationPictures:
    if isinstance(origin, ForeignEncoder):
        note = "everybody in it; whom the encoder was fitted on is not known here"
        return read_pictures(calibration, note=note)
    _warn_of_framing(origin)
    wanted, note = unfitted(origin, read_index(calibration).subjects)
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
) -> str:
    some = pictures.representative[:LAYER_PICTURES]
    return (
        f"int8 is not near enough to float: {'; '.join(parity.failures)}. "
        f"{where_lost(layer_errors(float_encoder(model), encoder, some))} Also try pictures "
        "like the door's for --calibration; --force writes a bundle that no door opens"
    )


def _check_counts(numbers: IntArray, fmr: float) -> None:
    """Refuse pictures that cannot support *fmr* before anything takes long."""
    of_each = np.bincount(numbers)
    total = len(numbers) * (len(numbers) - 1) // 2
    mated = int(np.sum(of_each * (of_each - 1) // 2))
    check_support(fmr, subjects=of_each.size, nonmated=total - mated, mated=mated)


def _measure(
    encoder: bytes,
    pictures: CalibrationPictures,
    in_float: FloatArray,
    runtimes: tuple[str, ...],
) -> tuple[Parity, FloatArray]:
    """Return parity in all *runtimes*, and the embeddings of all crops in the first of them."""
    crops, numbers = pictures.crops.pixels, pictures.crops.numbers
    in_int8 = embed_int8(encoder, crops, runtimes[0])
    agreements = [agreement(runtimes[0], in_float, in_int8, numbers)]
    some = subset(numbers, PARITY_PICTURES)
    agreements += [
        agreement(each, in_float[some], embed_int8(encoder, crops[some], each), numbers[some])
        for each in runtimes[1:]
    ]
    return Parity(tuple(agreements), spread(in_float)), in_int8


def _evidence(calibration: Calibration, evidence: Evidence, runtime: str) -> dict[str, object]:
    """Return what the fields of the manifest have no place for."""
    return {
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
