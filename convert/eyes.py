"""The eyes' two float networks become their int8 bundle, with the parity of both measured.

Activation ranges come from pictures as training composes them. Parity is measured on the photos of
the training part of `scenes`: int8 must find the faces that float finds, at the same place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.encoder import quiet_tensorflow
from convert.package import replace_eyes
from convert.provenance import versions
from convert.quantize import quantize_network
from edge.bundles.bundle import inspect_bundle
from edge.bundles.manifest import EyesFacts
from edge.errors import BundleError
from edge.eyes import GEOMETRY, PADDING_GREY, STRIDES
from edge.refiner import REFINER_UNIT_PX
from edge.tflite import Network, dequantize, open_network
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.composites import Composer
from train.eyes.material import Material, read_material
from train.eyes.targets import Cropper

FINDER_KERAS, REFINER_KERAS = "finder.keras", "refiner.keras"
# Of the finder's input: a 640x480 frame is halved, and whole photos up to 352 px keep their size.
FINDER_HEIGHT_PX, FINDER_WIDTH_PX = 288, 352
_PICTURES, _CROPS = 160, 300
_SEED = 9
# What int8 may change on average: scores, and landmarks in eye distances. The finder's are only a
# start for the refiner's, which are held to half of the 4 % that the eyes may be wrong.
_LIMITS = {
    "finder_score_change": 0.1,
    "finder_moved": 0.05,
    "refiner_score_change": 0.1,
    "refiner_moved": 0.02,
}
_EYE_DISTANCE_PX = 17.6  # of the refiner's template
# `bench/eyes_score.py`: on 375 training photos as many of 374 faces are found as at 0.6 (97.6 %),
# with 3 false ones; the strongest in 384 looks at the face-free training photos has 0.62.
SCORE = 0.75


def holds_eyes(run: Path) -> bool:
    """Tell whether *run* holds the networks of the eyes."""
    return (run / FINDER_KERAS).is_file() and (run / REFINER_KERAS).is_file()


def convert_eyes(
    run: Path, pictures: Path, out: Path, *, score: float = SCORE, name: str | None = None
) -> EyesFacts:
    """Give the bundle *out* the networks in *run* for eyes; it is unsigned afterwards.

    Args:
        run: holds finder.keras and refiner.keras, made by `janus train`.
        pictures: holds `faces` and `scenes`, as training read them.
        out: a bundle, whose encoder stays as it is, and with it every gallery.
        score: the lowest score that counts, 0 to 1.
        name: of these eyes; None takes the run's.

    Returns: what the manifest says of them.

    Raises:
        BundleError: if a network cannot be converted, or int8 is not near enough to float.
        DataSetError: if the pictures are missing.
    """
    _require_bundle(out)
    material = read_material(pictures / "faces", pictures / "scenes")
    finder, refiner = _load(run)
    looks, crops = _representative(material)
    found, placed = quantize_network(finder, looks), quantize_network(refiner, crops)
    parity = _finder_parity(finder, found, looks) | _refiner_parity(refiner, placed, crops)
    failures = [
        f"{measure} is {parity[measure]:.3f}, at most {most} is allowed"
        for measure, most in _LIMITS.items()
        if parity[measure] > most
    ]
    if failures:
        raise BundleError(
            f"the int8 eyes are not near enough to the float ones: {'; '.join(failures)}; train "
            "them longer, or on pictures like these"
        )
    facts = EyesFacts(
        geometry=GEOMETRY,
        score=score,
        parity=parity,
        training={
            "name": name or run.name,
            "pictures": ["faces", "scenes (training part)"],
            "photos": len(material.photos),
        },
        versions=versions(),
    )
    replace_eyes(out, facts, found, placed)
    return facts


def _require_bundle(out: Path) -> None:
    """Refuse early what has no encoder for these eyes to go with."""
    try:
        inspect_bundle(out)
    except BundleError as exc:
        raise BundleError(
            f"eyes become part of a bundle that has an encoder, and --out {out} is none ({exc}); "
            "convert an encoder to it first, or copy a bundle there"
        ) from exc


def _load(run: Path) -> tuple[Any, Any]:
    """Return both float networks, the finder with a fixed input."""
    quiet_tensorflow()
    import keras

    loaded = []
    for file in (run / FINDER_KERAS, run / REFINER_KERAS):
        try:
            loaded.append(keras.models.load_model(file, compile=False))
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise BundleError(f"{file} cannot be loaded: {exc}; train the eyes again") from exc
    finder, refiner = loaded
    picture = keras.Input((FINDER_HEIGHT_PX, FINDER_WIDTH_PX, 1))
    return keras.Model(picture, finder(picture)), refiner


def _representative(material: Material) -> tuple[PixelArray, PixelArray]:
    """Return pictures for the finder, every second a whole photo, and crops for the refiner."""
    rng = np.random.default_rng(_SEED)
    composer, cropper = Composer(material, rng), Cropper(material, rng)
    looks = np.full((_PICTURES, FINDER_HEIGHT_PX, FINDER_WIDTH_PX, 1), PADDING_GREY, np.uint8)
    for at, look in enumerate(looks):
        seen = (
            material.photo(rng).grey
            if at % 2
            else composer.picture(FINDER_WIDTH_PX, 16.0, 260.0).grey[:FINDER_HEIGHT_PX]
        )
        scale = min(1.0, FINDER_HEIGHT_PX / seen.shape[0], FINDER_WIDTH_PX / seen.shape[1])
        size = (round(seen.shape[1] * scale), round(seen.shape[0] * scale))
        look[: size[1], : size[0], 0] = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    crops = np.stack([cropper.crop().grey for _ in range(_CROPS)])[..., np.newaxis]
    return looks, crops


def _finder_parity(model: Any, content: bytes, looks: PixelArray) -> dict[str, float]:  # noqa: ANN401
    """Return mean changes of score and landmarks at each picture's strongest cell."""
    network = open_network(content, "finder")
    scores, moves = [], []
    for look in looks:
        in_float = [np.asarray(each) for each in model(look[np.newaxis].astype(np.float32))]
        network.run(look[np.newaxis])
        logits, stride = max(
            ((in_float[2 * at], stride) for at, stride in enumerate(STRIDES)),
            key=lambda pair: float(pair[0].max()),
        )
        cell = np.unravel_index(int(logits.argmax()), logits.shape)[:3]
        if logits[cell][0] < 0:  # no face: its landmarks mean nothing
            continue
        landmarks = in_float[2 * STRIDES.index(stride) + 1][cell].reshape(5, 2)
        score, placed = (_output(network, (1, *logits.shape[1:3], size))[cell] for size in (1, 10))
        scores.append(abs(float(_sigmoid(score[0]) - _sigmoid(logits[cell][0]))))
        apart = np.linalg.norm(placed.reshape(5, 2) - landmarks, axis=1).mean()
        moves.append(apart / np.linalg.norm(landmarks[1] - landmarks[0]))
    if not scores:
        raise BundleError(
            "the finder sees no face in any of its training pictures: it has not learnt; train "
            "the eyes longer"
        )
    return {"finder_score_change": float(np.mean(scores)), "finder_moved": float(np.mean(moves))}


def _refiner_parity(model: Any, content: bytes, crops: PixelArray) -> dict[str, float]:  # noqa: ANN401
    """Return mean changes of score and landmarks (in eye distances)."""
    network = open_network(content, "refiner")
    placed, logits = (np.asarray(each) for each in model(crops.astype(np.float32)))
    scores, moves = [], []
    for at, crop in enumerate(crops):
        network.run(crop[np.newaxis])
        score = _output(network, (1, 1))[0, 0]
        scores.append(abs(float(_sigmoid(score) - _sigmoid(logits[at, 0]))))
        if logits[at, 0] > 0:
            apart = (_output(network, (1, 10))[0] - placed[at]).reshape(5, 2) * REFINER_UNIT_PX
            moves.append(np.linalg.norm(apart, axis=1).mean() / _EYE_DISTANCE_PX)
    return {
        "refiner_score_change": float(np.mean(scores)),
        "refiner_moved": float(np.mean(moves)) if moves else 0.0,
    }


def _output(network: Network, shape: tuple[int, ...]) -> FloatArray:
    """Return the output of that shape, in its own values."""
    (output,) = (each for each in network.outputs if each.shape == shape)
    return dequantize(network.levels(output), output.quantization)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
