"""The model card of a bundle: what its manifest says, for whoever has to answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.bundles.manifest import ENCODER_FILE, Manifest

_NOT_FOR = (
    "Not for: sole protection of anything; people, cameras or light unlike those of the pictures "
    "above. Whether somebody holds up a photo is not asked here, and error rates by sex, age or "
    "origin are unknown until `janus evaluate --group` has measured them."
)
_TERMS = (
    "Terms: those of the pictures and weights that the encoder was fitted on hold for it too. They "
    "are not known here: ask whoever ran the training."
)


def model_card(manifest: Manifest) -> bytes:
    """Return MODEL_CARD.md of the bundle that *manifest* describes; equal manifests, equal bytes.

    Nobody is named: a manifest names nobody.
    """
    point, training = manifest.operating_point, manifest.training
    encoder, settings = manifest.files[ENCODER_FILE], _object(training, "settings")
    calibration = _object(training, "calibration")
    parity, eyes = manifest.parity, manifest.eyes
    source = f" ({settings['source']})" if settings.get("source") else ""
    paragraphs = [
        f"# Model card: `{manifest.name}`",
        (
            f"What: aligned face crop of 112 × 112 pixels → {manifest.encoder.embedding_size} "
            f"features, compared by cosine; int8 throughout, {encoder.bytes:,} bytes."
        ),
        f"Fitted: recipe `{training['recipe']}`{source}. {_fitted_on(training)}",
        (
            f"Threshold: {point.threshold:.4f}. FMR {point.fmr:.3g}"
            f"{_upper(calibration)} in {point.comparisons:,} comparisons of two people, FNMR "
            f"{point.fnmr:.3g} in {point.mated:,} of one. Pictures: {point.data_id}. People: "
            f"{calibration.get('people', 'unknown')}."
        ),
        (
            f"int8 against float: {'passed' if parity['passed'] == 1.0 else 'FAILED'}; cosine "
            f"{parity['cosine_mean']:.4f} on average, {parity['cosine_p1']:.4f} at the 1st "
            "percentile."
        ),
        (
            "Eyes: none."
            if eyes is None
            else f"Eyes: {eyes.geometry}; a face counts from score {eyes.score:g}."
        ),
        _TERMS,
        _NOT_FOR,
        "Every figure, and what it rests on: `janus bundle show --json`.",
    ]
    return ("\n\n".join(paragraphs) + "\n").encode()


def _fitted_on(training: Mapping[str, Any]) -> str:
    """Say which pictures the run had, and its equal error rate on people held out, if known."""
    metrics = _object(training, "metrics")
    said = [f"Pictures: {metrics.get('data', 'unknown')}."]
    honest = _object(metrics, "honest")
    error = _object(honest, "equal_error_rate")
    if error:
        said.append(
            f"In float, on {honest['subjects']} people held out: EER {error['rate']:.2%} "
            f"({error['low']:.2%} to {error['high']:.2%})."
        )
    return " ".join(said)


def _upper(calibration: Mapping[str, Any]) -> str:
    upper = calibration.get("fmr_upper_95")
    return "" if upper is None else f" (95 %: up to {upper:.3g})"


def _object(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tree.get(name)
    return found if isinstance(found, Mapping) else {}
