"""The straight line of a conversion: pictures → int8 → parity → threshold → bundle."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.calibrate import Calibration, calibrate, check_support
from convert.encoder import embed_float, load_encoder
from convert.layers import layer_errors, where_lost
from convert.package import check_target, write_bundle
from convert.parity import Parity, agreement, compare_decisions, spread
from convert.pictures import CalibrationPictures, evenly, read_index, read_pictures
from convert.provenance import TrainingRun, read_run, unfitted, versions
from convert.quantize import float_encoder, quantize_network
from convert.runtimes import embed_int8
from edge.align import ALIGNMENT
from edge.bundle import Manifest, describe_encoder
from edge.errors import BundleError, ConfigError
from edge.tflite import installed_runtimes
from edge.vocabulary import FloatArray
from train.metrics import IntArray, compare_all

# tflite-runtime takes 64 ms a crop on x86-64: so many keep it below 20 s.
PARITY_PICTURES = 300
LAYER_PICTURES = 16

_LOG = logging.getLogger("janus.convert")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion made and measured."""

    manifest: Manifest
    parity: Parity
    calibration: Calibration
    pictures: CalibrationPictures


def convert(
    source: Path, calibration: Path, out: Path, *, fmr: float, name: str | None, force: bool
) -> Conversion:
    """Make the bundle *out* of the encoder at *source*.

    Args:
        source: a training run's directory, or an encoder.keras.
        calibration: pictures of people whom the encoder was not fitted on.
        out: the bundle's directory; replaced if it is a bundle already.
        fmr: the false match rate that the threshold is chosen for.
        name: of the bundle; None takes the recipe's.
        force: write a bundle that fails parity all the same; its manifest says so.

    Raises:
        BundleError: if the encoder cannot be converted, or int8 is not near enough to float.
        DataSetError, TooFewComparisonsError: if the pictures are missing or too few for *fmr*.
        ConfigError: if no TFLite runtime is installed.
    """
    check_target(out)
    run = read_run(source)
    _warn_of_framing(run)
    wanted, note = unfitted(run, read_index(calibration).subjects)
    pictures = read_pictures(calibration, wanted, note=note)
    _check_counts(pictures.crops.numbers, fmr)
    runtimes = installed_runtimes()
    if not runtimes:
        raise ConfigError("no TFLite runtime is installed; run: pip install ai-edge-litert")
    model = load_encoder(run.encoder)
    encoder = quantize_network(model, pictures.representative)
    in_float = embed_float(model, pictures.crops.pixels)
    parity, in_int8 = _measure(encoder, pictures, in_float, runtimes, fmr)
    point = calibrate(compare_all(in_int8, pictures.crops.numbers), fmr, pictures.data_id)
    manifest = Manifest(
        name=name or run.name,
        alignment=ALIGNMENT,
        encoder=describe_encoder(encoder, embedding_size=in_float.shape[1]),
        operating_point=point.point,
        parity=parity.facts(),
        training=run.facts() | {"calibration": _evidence(point, runtimes[0])},
        versions=versions(),
    )
    if not parity.passed and not force:
        some = pictures.representative[:LAYER_PICTURES]
        raise BundleError(
            f"int8 is not near enough to float: {'; '.join(parity.failures)}. "
            f"{where_lost(layer_errors(float_encoder(model), encoder, some))} Also try pictures "
            "like the door's for --calibration; --force writes a bundle that no door opens"
        )
    write_bundle(out, manifest, encoder)
    return Conversion(manifest, parity, point, pictures)


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
    fmr: float,
) -> tuple[Parity, FloatArray]:
    """Return parity in all *runtimes*, and the embeddings of all crops in the first of them."""
    crops = pictures.crops.pixels
    in_int8 = embed_int8(encoder, crops, runtimes[0])
    agreements = [agreement(runtimes[0], in_float, in_int8)]
    some = evenly(len(crops), PARITY_PICTURES)
    agreements += [
        agreement(each, in_float[some], embed_int8(encoder, crops[some], each))
        for each in runtimes[1:]
    ]
    decisions = compare_decisions(in_float, in_int8, pictures.crops.numbers, fmr)
    return Parity(tuple(agreements), spread(in_float), decisions), in_int8


def _evidence(calibration: Calibration, runtime: str) -> dict[str, object]:
    """Return what the operating point of the manifest has no field for."""
    return {
        "subjects": calibration.subjects,
        "effective_comparisons": calibration.effective_comparisons,
        "fmr_upper_95": calibration.fmr_upper,
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
