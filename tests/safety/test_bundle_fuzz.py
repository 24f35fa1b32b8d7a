"""However a signed bundle is damaged, altered or mixed with another, no door opens it.

Mutations are drawn from a seed, so that a failure can be repeated. Whatever comes out must differ
from the original; then it must be refused, and by nothing but `BundleError`.
"""

from __future__ import annotations

import json
import random

import pytest
from bundles import FILES, GEOMETRY, TRUSTED, UNSIGNED, contents, write

from edge.bundles.bundle import check_bundle, read_bundle
from edge.config import SHIPPED_BUNDLE
from edge.errors import BundleError

OTHER_FILES = {name: content[::-1] for name, content in FILES.items()}
WHOLE, OTHER = contents(), contents(OTHER_FILES, name="other")  # both signed by the same key


def flip_bits(content, chance):
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut_off(content, chance):
    return content[: chance.randrange(len(content))]


def insert(content, chance):
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.randbytes(chance.randrange(1, 9)) + content[at:]


def leave_out(content, chance):
    at = chance.randrange(len(content))
    return content[:at] + content[at + chance.randrange(1, 9) :]


def zero(content, chance):
    at = chance.randrange(len(content))
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


DAMAGES = (flip_bits, cut_off, insert, leave_out, zero)
STRANGE = (
    None, True, False, 0, 1, -1, 2**63, 1e308, 0.5, "", "x", "../x", "\ud800", [], {}, [0.1, 0.2],
    {"sha256": "0" * 64, "bytes": 1},
)  # fmt: skip


def damage_a_file(whole, chance):
    name = chance.choice(sorted(whole))
    return whole | {name: chance.choice(DAMAGES)(whole[name], chance)}


def edit_a_field(whole, chance):
    """Change, remove, add or copy a field and write the manifest in its canonical form again."""
    tree = json.loads(whole["manifest.json"])
    at = tree
    while True:
        key = chance.choice(sorted(at))
        if not isinstance(at[key], dict) or not at[key] or chance.random() < 0.2:
            break
        at = at[key]
    kind = chance.randrange(4)
    if kind == 0:
        del at[key]
    elif kind == 1:
        at[chance.choice(("extra", "name", "sha256", "schema"))] = chance.choice(STRANGE)
    elif kind == 2 and isinstance(at[key], int | float):
        at[key] = at[key] + chance.choice((1, -1, 0.001, 1e-12))
    else:
        at[key] = chance.choice(STRANGE)
    written = json.dumps(tree, indent=2, sort_keys=True) + "\n"
    return whole | {"manifest.json": written.encode()}


def swap_files(whole, chance):
    """Take some files, never all, from the other bundle, which is signed as well as this one."""
    taken = chance.sample(sorted(OTHER), chance.randrange(1, len(OTHER)))
    return whole | {name: OTHER[name] for name in taken}


def exchange_names(whole, chance):
    one, other = chance.sample(sorted(whole), 2)
    return whole | {one: whole[other], other: whole[one]}


def lose_a_file(whole, chance):
    lost = chance.choice(sorted(whole))
    return {name: content for name, content in whole.items() if name != lost}


def add_a_file(whole, chance):
    name = chance.choice(("extra", "encoder.tflite.part", "MANIFEST.JSON", "ENCODER.TFLITE", ".x"))
    return whole | {name: chance.choice(sorted(whole.values()))}


MUTATIONS = (
    damage_a_file, damage_a_file, damage_a_file, edit_a_field, edit_a_field, swap_files,
    exchange_names, lose_a_file, add_a_file,
)  # fmt: skip


def mutations(count, seed):
    """Yield *count* different-from-whole bundles; one in ten was mutated twice."""
    chance = random.Random(seed)
    while count:
        mutated = chance.choice(MUTATIONS)(WHOLE, chance)
        if chance.random() < 0.1 and all(mutated.values()):
            mutated = chance.choice((damage_a_file, lose_a_file, add_a_file))(mutated, chance)
        if mutated not in (WHOLE, OTHER):
            count -= 1
            yield mutated


def refuse_all(count, seed):
    for at, mutated in enumerate(mutations(count, seed)):
        with pytest.raises(BundleError):
            check_bundle(mutated, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)
            pytest.fail(f"mutation {at} of seed {seed} was opened")


def test_the_bundles_that_are_mutated_open_as_they_are():
    for whole in (WHOLE, OTHER):
        check_bundle(whole, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


def test_a_thousand_mutations_are_refused():
    refuse_all(1_000, seed=20261124)


@pytest.mark.slow
def test_ten_thousand_mutations_are_refused():
    refuse_all(10_000, seed=6)


@pytest.mark.parametrize("name", sorted(FILES))
def test_file_of_another_bundle_is_refused_by_its_name(name):
    """The other bundle is whole and signed by the same key; only this file is its own."""
    with pytest.raises(BundleError, match=name):
        check_bundle(WHOLE | {name: OTHER[name]}, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_manifest_or_signature_of_another_bundle_is_refused(name):
    with pytest.raises(BundleError, match="manifest"):
        check_bundle(WHOLE | {name: OTHER[name]}, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


def test_mutations_on_the_disk_are_refused(tmp_path):
    """The same through real files: names, lengths and all."""
    for at, mutated in enumerate(mutations(150, seed=1)):
        directory = write(tmp_path / str(at), mutated)
        with pytest.raises(BundleError):
            read_bundle(directory, alignment=GEOMETRY, trust=TRUSTED)


def test_where_unsigned_bundles_are_opened_damage_is_still_refused():
    """Hashes show damage and mix-ups. They cannot show forgery: a valid manifest is believed."""
    unsigned = {name: content for name, content in WHOLE.items() if name != "manifest.sig"}
    forged = 0
    for mutated in mutations(1_000, seed=3):
        mutated.pop("manifest.sig", None)
        if mutated == unsigned:
            continue
        try:
            bundle = check_bundle(mutated, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=UNSIGNED)
        except BundleError:
            continue
        assert mutated["manifest.json"] != unsigned["manifest.json"]
        assert bundle.encoder in (FILES["encoder.tflite"], OTHER_FILES["encoder.tflite"])
        forged += 1
    assert forged < 100


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_every_single_byte_counts(name):
    """Each byte of each file in turn: the error names the file, or the pair that does not fit."""
    said = name if name in FILES else "manifest"
    for at in range(len(WHOLE[name])):
        content = WHOLE[name]
        damaged = content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :]
        with pytest.raises(BundleError, match=said):
            check_bundle(WHOLE | {name: damaged}, SHIPPED_BUNDLE, alignment=GEOMETRY, trust=TRUSTED)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_download_that_was_cut_off_anywhere_is_refused(name):
    for size in range(0, len(WHOLE[name]), 7):
        with pytest.raises(BundleError, match=name if name in FILES else "manifest"):
            check_bundle(
                WHOLE | {name: WHOLE[name][:size]},
                SHIPPED_BUNDLE,
                alignment=GEOMETRY,
                trust=TRUSTED,
            )
