"""Recipes: the published settings, overridden by name, saved with the run."""

import pytest

from edge.errors import ConfigError
from train.data.augment import AUGMENTATIONS
from train.data.framing import FRAMINGS
from train.data.readers import READERS
from train.fitting.losses import LOSSES
from train.fitting.model import ENCODERS
from train.fitting.protocols import PROTOCOLS
from train.recipes import RECIPES, load, resolve, save
from train.run import train


def test_att_is_as_published():
    att = RECIPES["att"]
    assert (att.batch, att.epochs, att.margin) == (128, 13, 1.0)
    assert (att.loss, att.optimizer, att.pairs_each) == ("contrastive", "rmsprop", 250)
    assert {each.figure: each.stated for each in att.published}["validation loss"] == "0.0363"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda each: each.name)
def test_recipe_names_only_what_exists(recipe):
    assert recipe.reader in READERS
    assert recipe.encoder in ENCODERS
    assert recipe.loss in LOSSES
    assert recipe.protocol in PROTOCOLS
    assert {recipe.frames, recipe.own_frames} <= {"aligned", *FRAMINGS}
    assert set(recipe.augment) <= set(AUGMENTATIONS)
    assert recipe.source


def test_setting_overrides_one_field_and_keeps_its_type():
    recipe = resolve(
        "att", ["epochs=20", "learning_rate=0.01", "augment=flip,noise", "dropout=0.25,0.1"]
    )
    assert (recipe.epochs, recipe.learning_rate) == (20, 0.01)
    assert (recipe.augment, recipe.dropout) == (("flip", "noise"), (0.25, 0.1))
    assert recipe.batch == 128


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("atte", [], "did you mean 'att'"),
        ("att", ["epoch=3"], "did you mean 'epochs'"),
        ("att", ["epochs=many"], "expected int"),
        ("att", ["epochs"], "expected NAME=VALUE"),
        ("att", ["name=other"], "no setting 'name'"),
        ("att", ["epochs=0"], "expected 1 at least"),
        ("att", ["tested=1"], "expected 2 at least"),
        ("att", ["seed=-1"], "expected 0 at least"),
    ],
)
def test_wrong_recipe_or_setting_names_the_nearest(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve(name, settings)


@pytest.mark.parametrize("setting", ["reader=photos", "protocol=mine"])
def test_unknown_reader_or_protocol_names_the_known_ones(setting, tmp_path):
    with pytest.raises(ConfigError, match=r"celebrities, crops.* and one of pairs, pictures, none"):
        train(resolve("att", [setting]), tmp_path, tmp_path / "run")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda each: each.name)
def test_saved_recipe_is_read_back_equal(recipe, tmp_path):
    save(recipe, tmp_path / "recipe.json")
    assert load(tmp_path / "recipe.json") == recipe


def test_recipe_of_another_version_is_refused(tmp_path):
    (tmp_path / "recipe.json").write_text('{"name": "att", "published": []}')
    with pytest.raises(ConfigError, match="not a recipe of this version"):
        load(tmp_path / "recipe.json")


def test_patience_without_people_to_watch_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="add --set validated="):
        train(resolve("att", ["patience=3"]), tmp_path, tmp_path / "run")
