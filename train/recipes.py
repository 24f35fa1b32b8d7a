"""Every system that Janus can train, each as one frozen recipe with its source.

A recipe holds all that decides the outcome of a run, so the resolved recipe saved with the run,
the data and the seed repeat it. Settings are overridden by ``--set name=value``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from edge.config_reading import nearest
from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that the source of a recipe states, by the source's own protocol."""

    figure: str
    stated: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train an encoder.

    Args:
        name: the word after ``--recipe``.
        source: where it is published.
        reader: name in `train.data.readers.READERS`: how ``--data`` is laid out.
        frames: how a picture becomes the 112x112 crop that the encoder to keep is fitted on:
            `aligned` as at the door, or `whole` or `centre` of it.
        own_frames: the same for the source's own protocol.
        encoder: name in `train.fitting.model.ENCODERS`.
        dropout: shares dropped after each convolution block and before the embedding.
        protocol: the source's own way to measure itself: on other `pairs`, on other `pictures` of
            the same people, or `none`.
        sampling: `att-pairs`, `drawn-pairs` or `people` (P×K).
        pairs_each: mated pairs for each subject (att-pairs) or picture (drawn-pairs).
        people, pictures, steps: P, K and steps an epoch of P×K batches.
        loss: name in `train.fitting.losses.LOSSES`.
        margin: of that loss, in its own unit (Euclidean distance, or cosine).
        scale: margin softmax only: factor of the cosine before the softmax.
        optimizer: `rmsprop` or `adam`.
        learning_rate: at the start.
        decay: `none` or `cosine` (to zero at the end).
        batch: pairs in a step of pair losses.
        epochs: passes over the pairs, or over *steps* batches.
        augment: names in `train.data.augment.AUGMENTATIONS`.
        precision: `float32`, or `mixed_bfloat16`: most of the arithmetic in 16 bits, weights,
            embeddings and the encoder that is kept in 32.
        validated, tested, fold: subjects watched while fitting, subjects never seen, which ten.
        watched_fmr: the rate whose FNMR is watched on the validated subjects; EER where their
            count does not support that rate.
        patience: epochs without a lower watched figure after which the fit ends; 0: never.
        seed: of everything drawn at random.
        published: what the source states.
    """

    name: str
    source: str
    reader: str
    frames: str
    encoder: str
    protocol: str
    sampling: str
    loss: str
    own_frames: str = "whole"
    dropout: tuple[float, ...] = ()
    pairs_each: int = 1
    people: int = 10
    pictures: int = 4
    steps: int = 20
    margin: float = 1.0
    scale: float = 16.0
    optimizer: str = "rmsprop"
    learning_rate: float = 0.001
    decay: str = "none"
    batch: int = 128
    epochs: int = 10
    augment: tuple[str, ...] = ()
    precision: str = "float32"
    validated: int = 0
    tested: int = 10
    fold: int = 0
    watched_fmr: float = 0.01
    patience: int = 0
    seed: int = 0
    published: tuple[Published, ...] = ()


ATT = Recipe(
    name="att",
    source="S. Ravichandiran, Hands-On Meta-Learning with Python, the chapter on Siamese networks",
    reader="att",
    frames="aligned",
    own_frames="whole",  # 92x112 pixels as they are; the encoder takes every second of them
    encoder="att",
    protocol="pairs",
    sampling="att-pairs",
    pairs_each=250,
    loss="contrastive",
    margin=1.0,
    optimizer="rmsprop",
    batch=128,
    epochs=13,
    tested=10,
    published=(
        Published("validation loss", "0.0363"),
        Published("precision at distance 0.5", "0.9779"),
    ),
)

ATT_PLUS = Recipe(
    name="att-plus",
    source="ours: the same 400 pictures, judged on people held out",
    reader="att",
    frames="aligned",
    encoder="plain",
    dropout=(0.3,),
    protocol="none",
    sampling="people",
    people=30,
    pictures=2,
    steps=5,
    loss="margin-softmax",
    margin=0.2,
    scale=16.0,
    optimizer="adam",
    learning_rate=0.002,
    decay="cosine",
    epochs=60,
    augment=("flip", "similarity", "light", "contrast", "occlusion"),
    tested=10,
)

OLIVETTI = Recipe(
    name="olivetti",
    source="G. S. Behera, Face Recognition using Siamese Networks (2021)",
    reader="olivetti",
    frames="aligned",
    own_frames="whole",
    encoder="olivetti",
    dropout=(0.25, 0.25, 0.25),  # the source drops out in every block, and does not say how much
    protocol="pictures",
    sampling="drawn-pairs",
    pairs_each=1,
    loss="sigmoid-bce",
    optimizer="adam",  # the source does not say
    batch=64,
    epochs=100,
    tested=16,  # of ten pictures each: they support FMR 0.0025 for whoever is enrolled among 40
    published=(Published("people matched by the 41st, of 41", "4 to 5"),),
)

AVENGERS = Recipe(
    name="avengers",
    source="an introduction to Siamese networks with a PyTorch notebook on Avengers actors",
    reader="celebrities",
    frames="aligned",
    own_frames="centre",
    encoder="avengers",
    protocol="pictures",
    sampling="drawn-pairs",
    pairs_each=2,
    loss="contrastive",
    margin=1.0,
    optimizer="adam",
    batch=64,
    epochs=30,
    tested=2,
    published=(Published("accuracy, as its cited demo states", "75-85 %"),),
)

AVENGERS_TRIPLET = replace(
    AVENGERS,
    name="avengers-triplet",
    sampling="people",
    people=5,
    pictures=8,
    steps=10,
    loss="batch-hard",
    margin=0.3,
)

MNIST = Recipe(
    name="mnist",
    source="the classic Siamese example of the Keras site",
    reader="mnist",
    frames="whole",
    own_frames="whole",
    encoder="mnist",
    protocol="pictures",
    sampling="drawn-pairs",
    pairs_each=1,
    loss="contrastive",
    margin=1.0,
    optimizer="rmsprop",
    batch=64,
    epochs=10,
    tested=2,
)

# Whole numbers that need not be 1 at least. Non-mated pairs of people held out take two of them.
_LEAST = {"validated": 0, "tested": 2, "fold": 0, "patience": 0, "seed": 0}

DOOR = "door"
"""Not a recipe of this file: `train.door.distil` fits the door's own encoder from a teacher."""

RECIPES: dict[str, Recipe] = {
    each.name: each for each in (ATT, ATT_PLUS, OLIVETTI, AVENGERS, AVENGERS_TRIPLET, MNIST)
}


def resolve(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Return the recipe called *name* with ``field=value`` *settings* applied.

    Raises:
        ConfigError: naming the nearest recipe or field, or the type that the field has.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}{nearest(name, RECIPES)}")
    recipe = RECIPES[name]
    for setting in settings:
        field, separator, text = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}: expected NAME=VALUE, such as --set epochs=20")
        changed: dict[str, Any] = {field: _parsed(recipe, field, text)}
        recipe = replace(recipe, **changed)
    return recipe


def save(recipe: Recipe, path: Path) -> None:
    """Write the resolved *recipe* as JSON."""
    path.write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> Recipe:
    """Read a recipe that `save` wrote.

    Raises:
        ConfigError: if it is missing or was written by another version.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        held["published"] = tuple(Published(**each) for each in held["published"])
        lists = {key: tuple(each) for key, each in held.items() if isinstance(each, list)}
        return Recipe(**held | lists)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{path} is not a recipe of this version of Janus: {exc}") from exc


def _parsed(recipe: Recipe, field: str, text: str) -> object:
    known = [each.name for each in fields(Recipe) if each.name not in ("name", "published")]
    if field not in known:
        raise ConfigError(f"a recipe has no setting {field!r}{nearest(field, tuple(known))}")
    current = getattr(recipe, field)
    try:
        if isinstance(current, tuple):
            parts = [each for each in text.split(",") if each]
            return tuple(float(each) for each in parts) if field == "dropout" else tuple(parts)
        value = type(current)(text)
    except ValueError as exc:
        kind = type(current).__name__
        raise ConfigError(f"--set {field}={text}: expected {kind}, such as {current!r}") from exc
    least = _LEAST.get(field, 1)
    if isinstance(value, int) and value < least:
        raise ConfigError(f"--set {field}={text}: expected {least} at least")
    return value
