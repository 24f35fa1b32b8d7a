"""The loop: it learns, resumes bit for bit, and stops at what is no number."""

import json
import re

import cv2
import numpy as np
import pytest

from edge.errors import ConfigError
from train.data.datasets import read_folder
from train.data.framing import frame
from train.errors import DivergedError
from train.fitting.feed import feed_of
from train.fitting.fit import Watch, fit, seed_everything
from train.fitting.losses import make_objective
from train.fitting.model import ENCODERS, assemble, build, embed, shrink
from train.measuring.evaluate import verify
from train.recipes import resolve
from train.run import error_watch, fit_encoder

pytestmark = pytest.mark.tf

SETTINGS = ["pairs_each=2", "batch=32", "epochs=3", "dropout=0.2", "augment=flip,light"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Four people of five pictures: a pattern each, with noise."""
    directory = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for person in range(4):
        pattern = cv2.resize(rng.integers(0, 255, (6, 6), np.uint8), (112, 112))
        for number in range(5):
            noisy = np.clip(pattern + rng.normal(0, 12, (112, 112)), 0, 255).astype(np.uint8)
            path = directory / f"p{person}" / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), noisy)
    return frame(read_folder(directory), "whole")


def run(people, where, *settings, resume=False, stop_after=None):
    """Fit the article's net; *stop_after* kills the run after so many epochs."""
    recipe = resolve("att", ["sampling=drawn-pairs", *SETTINGS, *settings])
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout)
    feed = feed_of(recipe, stem, people)
    objective = make_objective(recipe, feed.subjects, core)
    seen = []

    def figure(_core):
        seen.append(1)
        if stop_after is not None and len(seen) > stop_after:
            raise KeyboardInterrupt
        return float(len(seen))

    watch = Watch("figure", figure, keep_best=False)
    history = fit(core, objective, recipe, feed, watch=watch, run=where, resume=resume)
    return assemble(stem, core), history


def test_fitting_separates_people_that_are_apart(people, tmp_path):
    encoder, history = run(people, tmp_path, "epochs=8", "augment=", "dropout=")
    assert history[-1]["loss"] < history[0]["loss"] / 2
    found = verify(embed(encoder, people.pixels), people.numbers)
    assert found.equal_error_rate.rate < 0.1


@pytest.mark.parametrize(
    "settings", [(), ("loss=sigmoid-bce",), ("sampling=people", "people=3", "loss=margin-softmax")]
)
def test_killed_run_that_is_resumed_ends_with_the_same_weights(people, tmp_path, settings):
    """With dropout, augmentation and the optimiser's memory: bit for bit."""
    whole, history = run(people, tmp_path / "whole", *settings)
    with pytest.raises(KeyboardInterrupt):
        run(people, tmp_path / "killed", *settings, stop_after=1)
    resumed, again = run(people, tmp_path / "killed", *settings, resume=True)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [each["loss"] for each in history] == [each["loss"] for each in again]
    lines = (tmp_path / "killed" / "history.jsonl").read_text().splitlines()
    assert [json.loads(each)["epoch"] for each in lines] == [1, 2, 3]


def run_kept(people, where, *settings, figures=(), resume=False, stop_after=None, **manner):
    """Fit with the best weights kept; the watched figure of epoch N is *figures*[N - 1]."""
    recipe = resolve("att", ["sampling=drawn-pairs", *SETTINGS, "epochs=6", *settings])
    seed_everything(recipe.seed)
    stem, core = build(recipe.encoder, recipe.dropout, recipe.precision)
    feed = feed_of(recipe, stem, people)
    objective = make_objective(recipe, feed.subjects, core)
    weights, done = [], len(history_of(where)) if resume else 0

    def figure(core):
        weights.append(core.get_weights())
        if stop_after is not None and len(weights) > stop_after:
            raise KeyboardInterrupt
        return figures[done + len(weights) - 1]

    watch = Watch("figure", figure, keep_best=True)
    history = fit(core, objective, recipe, feed, watch=watch, run=where, resume=resume, **manner)
    return core, history, weights


def history_of(where):
    return [json.loads(each) for each in (where / "history.jsonl").read_text().splitlines()]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


FALLS_THEN_RISES = (0.5, 0.3, 0.4, 0.35, 0.2, 0.1)


def test_fit_ends_when_the_figure_has_not_fallen_for_so_many_epochs(people, tmp_path):
    core, history, weights = run_kept(people, tmp_path, "patience=2", figures=FALLS_THEN_RISES)
    assert len(history) == 4, "the third and the fourth epoch were no better than the second"
    assert_same(core.get_weights(), weights[1])


def test_fit_without_patience_sees_all_epochs_and_keeps_the_best(people, tmp_path):
    figures = (*FALLS_THEN_RISES[:5], 0.25)
    core, history, weights = run_kept(people, tmp_path, figures=figures)
    assert len(history) == 6
    assert_same(core.get_weights(), weights[4])


@pytest.mark.parametrize("killed_after", [1, 3])
def test_killed_run_with_patience_resumes_to_the_same_best_weights(people, tmp_path, killed_after):
    """Killed before the best epoch, and after it: the best lies in the checkpoint."""
    words = ("patience=2",)
    whole, history, _ = run_kept(people, tmp_path / "whole", *words, figures=FALLS_THEN_RISES)
    where = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run_kept(people, where, *words, figures=FALLS_THEN_RISES, stop_after=killed_after)
    resumed, again, _ = run_kept(people, where, *words, figures=FALLS_THEN_RISES, resume=True)
    assert_same(whole.get_weights(), resumed.get_weights())
    assert [each["loss"] for each in again] == [each["loss"] for each in history]


def test_run_that_ended_early_fits_no_more_when_resumed(people, tmp_path):
    words = ("patience=2",)
    core, history, _ = run_kept(people, tmp_path, *words, figures=FALLS_THEN_RISES)
    again, same, weights = run_kept(people, tmp_path, *words, figures=FALLS_THEN_RISES, resume=True)
    assert (weights, same) == ([], history)
    assert_same(core.get_weights(), again.get_weights())


def test_parts_of_crops_share_the_pictures_of_the_whole(people):
    """46,000 crops are 1.7 GB: fitted, watched and tested people must not copy them."""
    part = people.only(("p1", "p2", "p3")).only(("p3", "p1"))
    assert part.held is people.held
    wanted = [people.held[at] for at in (5, 6, 7, 8, 9, 15, 16, 17, 18, 19)]
    np.testing.assert_array_equal(part.pixels, wanted)
    np.testing.assert_array_equal(np.concatenate(list(part.batches(4))), wanted)
    assert [len(each) for each in part.batches(4)] == [4, 4, 2]
    stem, _ = build("att", ())
    np.testing.assert_array_equal(
        shrink(stem, part), shrink(stem, people)[[*range(5, 10), *range(15, 20)]]
    )


def test_watched_figure_is_the_fnmr_where_the_count_supports_it_and_else_the_eer(people, caplog):
    """Four people of five pictures: 150 non-mated comparisons, enough for FMR 0.2."""
    stem, core = build("att", ())
    supported = error_watch(stem, people, 0.2)
    assert supported.name == "fnmr_at_fmr_0.2"
    assert 0.0 <= supported.figure(core) <= 1.0
    assert "cannot support" not in caplog.text
    fallen_back = error_watch(stem, people, 0.01)
    assert fallen_back.name == "eer"
    assert "their 150 non-mated comparisons cannot support FMR 0.01, which needs 3,000" in (
        caplog.text
    )


def test_curves_for_tensorboard_are_read_back_from_the_event_file(people, tmp_path):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    figures = (0.5, 0.25)
    _, history, _ = run_kept(
        people, tmp_path, "epochs=2", "decay=cosine", figures=figures, tensorboard=True
    )
    (written,) = (tmp_path / "tensorboard").iterdir()
    read = {}
    for record in tf.data.TFRecordDataset(str(written)).as_numpy_iterator():
        event = event_pb2.Event.FromString(record)
        for each in event.summary.value:
            read.setdefault(each.tag, []).append((event.step, each.simple_value))
    assert set(read) == {"loss", "figure", "learning_rate"}
    assert read["figure"] == [(1, 0.5), (2, 0.25)]
    assert read["loss"] == [(n + 1, pytest.approx(e["loss"])) for n, e in enumerate(history)]
    assert [rate for _, rate in read["learning_rate"]] == pytest.approx([0.0005, 0.0])


def test_no_curves_are_written_unasked(people, tmp_path):
    run_kept(people, tmp_path, "epochs=1", figures=(0.5,))
    assert not (tmp_path / "tensorboard").exists()


def test_bar_shows_the_loss_the_watched_figure_and_the_time_left(people, tmp_path, capsys):
    run_kept(people, tmp_path, "epochs=2", figures=(0.5, 0.25))
    shown = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert re.search(r"100%.*\d\d:\d\d<\d\d:\d\d.*loss=0\.\d+, figure=0\.2500", shown)


def test_encoder_fitted_in_bfloat16_is_kept_in_float32(people, tmp_path):
    recipe = resolve("avengers", ["precision=mixed_bfloat16", "epochs=2", "batch=16"])
    encoder, history = fit_encoder(recipe, people, people.only(()), tmp_path)
    kept = [each.dtype_policy.name for part in encoder.layers for each in layers_of(part)]
    assert set(kept) == {"float32"}
    assert {each.dtype for each in encoder.variables} == {"float32"}
    assert history[1]["loss"] < history[0]["loss"]


def layers_of(part):
    return getattr(part, "layers", [part])


def test_bfloat16_is_what_the_fit_computes_in(people):
    _, core = build("avengers", (), "mixed_bfloat16")
    assert core.layers[1].compute_dtype == "bfloat16"
    assert core.layers[1].variable_dtype == "float32"
    assert core.layers[-1].compute_dtype == "float32", "the embedding is not rounded"


def test_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="expected one of float32, mixed_bfloat16"):
        build("att", (), "float16")


def test_same_seed_gives_the_same_weights_and_another_seed_others(people, tmp_path):
    one, _ = run(people, tmp_path / "a", "epochs=1")
    same, _ = run(people, tmp_path / "b", "epochs=1")
    other, _ = run(people, tmp_path / "c", "epochs=1", "seed=1")
    assert (one.get_weights()[-2] == same.get_weights()[-2]).all()
    assert (one.get_weights()[-2] != other.get_weights()[-2]).any()


def test_checkpoint_of_other_settings_is_not_resumed(people, tmp_path):
    run(people, tmp_path, "epochs=1")
    with pytest.raises(ConfigError, match="belongs to other settings"):
        run(people, tmp_path, "epochs=2", resume=True)


def test_checkpoint_is_not_overwritten_unasked(people, tmp_path):
    """Who forgets --resume after hours must not lose them."""
    run(people, tmp_path, "epochs=1")
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(ConfigError, match="go on with --resume"):
        run(people, tmp_path, "epochs=1")
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_loss_that_is_no_number_stops_with_step_pictures_and_advice(people, tmp_path):
    with pytest.raises(DivergedError, match=r"epoch 1, step \d+.*p\d/\d.png.*learning_rate="):
        run(people, tmp_path, "margin=nan")


def test_unknown_optimizer_is_refused(people, tmp_path):
    with pytest.raises(ConfigError, match="expected one of rmsprop, adam"):
        run(people, tmp_path, "optimizer=sgd")


@pytest.mark.parametrize("name", ENCODERS)
def test_saved_encoder_takes_the_doors_crop_and_needs_no_code_of_ours(name, tmp_path):
    import keras

    stem, core = build(name, ())
    encoder = assemble(stem, core)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    crops = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), np.uint8)
    assert loaded.input_shape == (None, 112, 112, 3)
    np.testing.assert_allclose(embed(loaded, crops), embed(encoder, crops), rtol=1e-5, atol=1e-5)
    assert embed(loaded, crops).ndim == 2


def test_att_encoder_sees_every_second_pixel_of_the_article():
    stem, _ = build("att", ())
    picture = np.random.default_rng(0).integers(0, 255, (112, 92), np.uint8)
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[0, :, 10:102] = picture[..., None]
    seen = embed(stem, crop)
    assert seen.shape == (1, 56, 46, 1)
    np.testing.assert_allclose(seen[0, ..., 0], picture[::2, ::2], atol=1e-3)


def test_unknown_encoder_is_refused():
    with pytest.raises(ConfigError, match="expected one of att"):
        build("resnet", ())
