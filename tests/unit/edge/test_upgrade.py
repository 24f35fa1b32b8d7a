"""Installing a bundle at a door, and going back: with the gallery, or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, OTHER_KEY, contents, write

from edge.align import ALIGNMENT
from edge.audit import Audit
from edge.bundles import installed
from edge.bundles.installed import bundle_directory, open_bundle, read_selection
from edge.bundles.signing import make_keys, read_private_key
from edge.bundles.succession import Succession
from edge.bundles.upgrade import install, rollback
from edge.config import SHIPPED_BUNDLE, DetectorConfig, DoorConfig, EncoderConfig, StoreConfig
from edge.errors import BundleError, ConfigError, GalleryError
from edge.gallery import GalleryStore
from edge.tflite import installed_runtimes
from edge.vocabulary import Embedding

pytestmark = pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime is installed")
TINY = (Path(__file__).parents[2] / "golden" / "tiny_encoder.tflite").read_bytes()
# Bytes after the FlatBuffer change the file, and with it the model id, and nothing that it does.
SECOND, THIRD = TINY + b"\0" * 16, TINY + b"\0" * 32


@pytest.fixture
def door(tmp_path):
    """A door that trusts one key, has nothing installed, and needs no eyes of a bundle."""
    make_keys(tmp_path / "keys")
    return DoorConfig(
        detector=DetectorConfig(backend="haar"),
        encoder=EncoderConfig(trusted_keys=(tmp_path / "keys" / "janus-signing.pub",)),
        store=StoreConfig(
            gallery=tmp_path / "gallery.sqlite",
            audit=tmp_path / "audit.sqlite",
            bundles=tmp_path / "bundles",
        ),
    )


@pytest.fixture
def made(tmp_path):
    """Write a bundle that the door trusts: `made(name, encoder, **changes)`."""
    make_keys(tmp_path / "keys") if not (tmp_path / "keys").exists() else None
    key = read_private_key(tmp_path / "keys" / "janus-signing.key")

    def make(name, encoder=TINY, *, key=key, **changes):
        files = {"encoder.tflite": encoder}
        whole = contents(files, key=key, **{"alignment": ALIGNMENT, "name": name, **changes})
        return write(tmp_path / name, whole)

    return make


def embedding(seed, model_id):
    vector = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    return Embedding(vector / np.linalg.norm(vector), model_id)


def crop(seed):
    return np.random.default_rng(seed).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def enrol(door, name, *, keep=False, seed=0):
    """Enrol with the model in force."""
    model_id = open_bundle(door).model_id
    kept = {"crops": [crop(seed)], "alignment": ALIGNMENT} if keep else {}
    with GalleryStore(door.store.gallery, model_id) as gallery:
        gallery.enrol(name, [embedding(seed, model_id)], **kept)


def enrolled(door):
    """Return references by name, as the door would see them."""
    with GalleryStore(door.store.gallery, open_bundle(door).model_id) as gallery:
        return {each.name: each.references for each in gallery.people()}


def test_a_fresh_door_opens_the_shipped_bundle(door):
    assert bundle_directory(door) == SHIPPED_BUNDLE
    assert open_bundle(door).signer is None


def test_what_was_installed_is_in_force_and_the_one_before_is_kept(door, made):
    first = install(door, made("first")).bundle
    assert open_bundle(door).contents == first.contents
    second = install(door, made("second", SECOND)).bundle
    assert open_bundle(door).bundle_id == second.bundle_id
    selection = read_selection(door.store.bundles)
    assert (selection.current, selection.previous) == (second.bundle_id, first.bundle_id)


def test_only_the_bundle_in_force_and_the_one_before_stay_on_the_disk(door, made):
    ids = [install(door, made(str(n), TINY + b"\0" * 4 * n)).bundle.bundle_id for n in range(4)]
    there = {each.name for each in door.store.bundles.iterdir() if each.is_dir()}
    assert there == set(ids[2:])


def test_rollback_returns_to_the_one_before_and_undoes_itself(door, made):
    install(door, made("first"))
    install(door, made("second", SECOND))
    assert rollback(door).bundle.name == "first"
    assert open_bundle(door).name == "first"
    assert rollback(door).bundle.name == "second"


def test_rollback_reaches_the_shipped_bundle(door, made):
    install(door, made("first"))
    rollback(door)
    assert bundle_directory(door) == SHIPPED_BUNDLE


def test_without_anything_before_there_is_nothing_to_return_to(door):
    with pytest.raises(BundleError, match="no bundle was in force before"):
        rollback(door)


def test_installing_the_same_again_keeps_the_one_before(door, made):
    install(door, made("first"))
    install(door, made("second", SECOND))
    before = read_selection(door.store.bundles)
    install(door, made("second", SECOND))
    assert read_selection(door.store.bundles) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": None}, r"no manifest\.sig"),
        ({"key": OTHER_KEY}, "does not trust"),
        ({"key": KEY}, "does not trust"),
        ({"encoder": TINY[:100]}, "refuses the encoder|no TFLite"),
        ({"encoder": b"not a network"}, "no TFLite file"),
        ({"encoder_facts": 32}, "gives 16 features, its manifest says 32"),
        ({"alignment": "another/v9"}, "expects alignment"),
        ({"parity": {"passed": 0.0}}, "parity"),
    ],
)
def test_what_is_not_trusted_or_does_not_work_is_not_installed(door, made, changes, said):
    install(door, made("first"))
    before = open_bundle(door)
    if "encoder_facts" in changes:
        facts = dataclasses.replace(before.manifest.encoder, embedding_size=32)
        new = made("new", SECOND)
        manifest = dataclasses.replace(before.manifest, encoder=facts)
        from edge.bundles.manifest import manifest_bytes
        from edge.bundles.signing import sign

        written = manifest_bytes(manifest)
        key = read_private_key(door.encoder.trusted_keys[0].with_suffix(".key"))
        (new / "encoder.tflite").write_bytes(TINY)
        (new / "manifest.json").write_bytes(written)
        (new / "manifest.sig").write_bytes(sign(written, key))
    else:
        new = made("new", **changes)
    with pytest.raises(BundleError, match=said):
        install(door, new)
    assert open_bundle(door).contents == before.contents


def test_a_bundle_without_the_eyes_that_the_door_uses_is_not_installed(door, made):
    looking = dataclasses.replace(door, detector=DetectorConfig())
    with pytest.raises(BundleError, match="this bundle has none"):
        install(looking, made("blind"))


def test_what_is_installed_is_what_was_verified(door, made):
    """The bytes that were checked are written, so the source may change meanwhile."""
    source = made("first")
    bundle = install(door, source).bundle
    (source / "encoder.tflite").write_bytes(b"changed")
    stored = door.store.bundles / bundle.bundle_id
    assert {each.name: each.read_bytes() for each in stored.iterdir()} == bundle.contents


def test_a_damaged_installed_bundle_opens_no_door_and_can_be_installed_again(door, made):
    source = made("first")
    stored = door.store.bundles / install(door, source).bundle.bundle_id
    (stored / "encoder.tflite").write_bytes(TINY[:-1])
    with pytest.raises(BundleError, match=r"encoder\.tflite has"):
        open_bundle(door)
    install(door, source)
    assert open_bundle(door).name == "first"


@pytest.mark.parametrize(
    "written",
    [b"", b"{", b"[]", b"[" * 1000, b'{"current": "../../etc"}', b"\xff",
     b'{"current": "..", "previous": null}', b'{"current": 1, "previous": null}'],
)  # fmt: skip
def test_a_damaged_selection_opens_no_door(door, made, written):
    install(door, made("first"))
    (door.store.bundles / installed.SELECTION_FILE).write_bytes(written)
    with pytest.raises(BundleError, match=r"selected\.json does not say"):
        open_bundle(door)


def test_another_encoder_is_refused_with_the_names_of_those_to_enrol_again(door, made):
    install(door, made("first"))
    enrol(door, "Ada")
    enrol(door, "Zoë", seed=1)
    with pytest.raises(BundleError, match=r"2 people \(Ada, Zoë\).*--accept-re-enrolment"):
        install(door, made("second", SECOND))
    assert open_bundle(door).name == "first"
    assert enrolled(door) == {"Ada": 1, "Zoë": 1}


def test_accepted_re_enrolment_starts_afresh_and_rollback_brings_everybody_back(door, made):
    install(door, made("first"))
    enrol(door, "Ada")
    change = install(door, made("second", SECOND), accept_re_enrolment=True)
    assert change.left_out == ("Ada",)
    assert enrolled(door) == {"Ada": 0}
    enrol(door, "Ada", seed=5)
    enrol(door, "Eve", seed=6)
    assert enrolled(door) == {"Ada": 1, "Eve": 1}
    assert rollback(door).left_out == ("Eve",)
    assert enrolled(door) == {"Ada": 1, "Eve": 0}


def test_kept_crops_are_embedded_again_so_that_nobody_comes_twice(door, made):
    install(door, made("first"))
    enrol(door, "Ada", keep=True, seed=3)
    change = install(door, made("second", SECOND))
    assert (change.embedded_again, change.left_out) == (1, ())
    assert enrolled(door) == {"Ada": 1}
    from edge.bundles.upgrade import embed_crop
    from edge.embed import open_embedder

    bundle = open_bundle(door)
    wanted = embed_crop(open_embedder(bundle.encoder, bundle.model_id), crop(3)).vector
    with GalleryStore(door.store.gallery, bundle.model_id) as gallery:
        np.testing.assert_array_equal(gallery.load().matrix[0], wanted)


def test_new_eyes_ask_nobody_to_come_again(door, made):
    """The same encoder: the model id stays, whatever else is new."""
    install(door, made("first"))
    enrol(door, "Ada")
    change = install(door, made("renamed"))
    assert (change.left_out, change.embedded_again) == ((), 0)
    assert enrolled(door) == {"Ada": 1}


def test_who_had_to_be_enrolled_again_before_stands_in_the_way_of_nothing(door, made):
    install(door, made("first"))
    enrol(door, "Ada")
    install(door, made("second", SECOND), accept_re_enrolment=True)
    enrol(door, "Eve", seed=2)
    assert install(door, made("second with a new name", SECOND)).left_out == ("Ada",)
    with pytest.raises(BundleError, match=r"crops are kept of Eve, who"):
        install(door, made("third", THIRD))


def test_who_is_forgotten_is_forgotten_by_every_model_and_with_every_crop(door, made):
    install(door, made("first"))
    enrol(door, "Ada", keep=True)
    install(door, made("second", SECOND))
    with GalleryStore(door.store.gallery, None) as gallery:
        gallery.forget("Ada")
    assert enrolled(door) == {}
    rollback(door)
    assert enrolled(door) == {}
    with GalleryStore(door.store.gallery, None) as gallery:
        rows = gallery._database._connection
        left = "SELECT (SELECT count(*) FROM reference) + (SELECT count(*) FROM crop)"
        assert rows.execute(left).fetchone() == (0,)


def test_references_of_a_model_that_nobody_can_return_to_are_erased(door, made):
    def models():
        with Succession(door.store.gallery) as gallery, gallery._database.reading() as rows:
            return {model_id for (model_id,) in rows.execute("SELECT model_id FROM reference")}

    ids = []
    for at, encoder in enumerate((TINY, SECOND, THIRD)):
        ids.append(install(door, made(f"b{at}", encoder), accept_re_enrolment=True).bundle.model_id)
        enrol(door, "Ada", seed=at)
        assert models() == set(ids[-2:])
    assert enrolled(door) == {"Ada": 1}


def test_a_door_never_sees_references_of_two_models(door, made):
    install(door, made("first"))
    enrol(door, "Ada", keep=True)
    install(door, made("second", SECOND))
    with GalleryStore(door.store.gallery, open_bundle(door).model_id) as gallery:
        assert gallery.load().matrix.shape == (1, 16)


def test_the_audit_notes_what_was_put_in_force(door, made):
    second = install(door, made("first")).bundle
    rollback(door)
    with Audit(door.store.audit) as audit:
        kinds = [(each.kind, each.facts["bundle"]) for each in audit.events()]
        assert audit.verify() is None
    assert kinds[0] == ("install", second.bundle_id)
    assert kinds[1][0] == "rollback"


def test_a_bundle_that_is_named_by_hand_is_not_replaced_silently(door, made):
    named = dataclasses.replace(
        door, encoder=dataclasses.replace(door.encoder, bundle=made("first"))
    )
    for change in (lambda: install(named, made("second")), lambda: rollback(named)):
        with pytest.raises(ConfigError, match="remove that line"):
            change()


def test_two_installations_at_once_take_turns(door, made):
    with (
        installed.alone(door.store.bundles),
        pytest.raises(BundleError, match="another program changes the bundles"),
    ):
        install(door, made("first"))


def test_a_damaged_crop_is_named_and_changes_nothing(door, made):
    install(door, made("first"))
    enrol(door, "Ada", keep=True)
    with Succession(door.store.gallery) as gallery:
        gallery._database._connection.execute("UPDATE crop SET pixels = x'00'")
    with pytest.raises(GalleryError, match="kept crop"):
        install(door, made("second", SECOND))
    assert open_bundle(door).name == "first"
    assert enrolled(door) == {"Ada": 1}


def test_selection_is_written_whole(door, made):
    bundle = install(door, made("first")).bundle
    written = json.loads((door.store.bundles / "selected.json").read_text())
    assert written == {"current": bundle.bundle_id, "previous": "shipped"}
