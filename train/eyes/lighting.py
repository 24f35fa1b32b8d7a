"""Pictures as a worse camera, another light or something in the way would show them."""

from __future__ import annotations

import cv2
import numpy as np

from edge.eyes import PADDING_GREY
from edge.vocabulary import FloatArray, PixelArray
from train.eyes.warping import Points, chance, size_of

_BLURS, _BLUR_SHARES = ("none", "enlarged", "defocus", "motion"), (0.72, 0.12, 0.1, 0.06)


def occlude(rng: np.random.Generator, seen: FloatArray, landmarks: Points) -> None:
    """Cover a part of the face with a grey rectangle."""
    size = size_of(landmarks)
    middle = landmarks[int(rng.integers(5))] + rng.normal(0, 0.15 * size, 2)
    half = size * rng.uniform(0.1, 0.3) * np.array([1, rng.uniform(0.4, 1)])
    left, top = np.maximum(0, middle - half).astype(int)
    right, bottom = np.maximum(0, middle + half).astype(int)
    seen[top:bottom, left:right] = rng.uniform(0, 255)


def light(rng: np.random.Generator, seen: FloatArray) -> PixelArray:
    """Return *seen* as a worse camera in another light would show it."""
    side_px = seen.shape[0]
    blur = rng.choice(_BLURS, p=_BLUR_SHARES)
    if blur == "enlarged":
        small = cv2.resize(
            seen, None, fx=(k := rng.uniform(0.35, 0.9)), fy=k, interpolation=cv2.INTER_AREA
        )
        seen = np.asarray(cv2.resize(small, (side_px, side_px)), np.float32)
    elif blur == "defocus":
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 1.3)), np.float32)
    elif blur == "motion":
        length = int(rng.integers(2, 6))
        shape = (length, 1) if chance(rng, 0.5) else (1, length)
        seen = np.asarray(cv2.blur(seen, shape), np.float32)
    if chance(rng, 0.5):
        seen = (seen - PADDING_GREY) * np.exp(rng.normal(0, 0.3)) + PADDING_GREY + rng.normal(0, 25)
    if chance(rng, 0.3):
        seen = 255 * (np.clip(seen, 0, 255) / 255) ** np.exp(rng.normal(0, 0.5))
    if chance(rng, 0.12):
        seen = seen * rng.uniform(0.12, 0.5)
    if chance(rng, 0.15):
        y, x = (np.mgrid[0:side_px, 0:side_px] - side_px / 2) / side_px
        turn = rng.uniform(0, 2 * np.pi)
        seen = seen * (1 + (x * np.cos(turn) + y * np.sin(turn)) * rng.uniform(0.3, 1.6))
    if chance(rng, 0.25):
        seen = seen + rng.normal(0, rng.uniform(1, 12), seen.shape)
    grey = np.clip(seen, 0, 255).astype(np.uint8)
    if chance(rng, 0.12):
        quality = int(rng.integers(25, 80))
        _, coded = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])
        grey = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return grey
