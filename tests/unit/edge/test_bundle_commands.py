"""`janus bundle` and `janus keys`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import bundles
import pytest
from bundles import FILES, contents, write

from edge.align import ALIGNMENT
from edge.cli import build_parser
from edge.commands import bundle, keys
from edge.config import SHIPPED_BUNDLE
from edge.errors import BundleError, ConfigError
from edge.tflite import installed_runtimes

TINY = (Path(__file__).parents[2] / "golden" / "tiny_encoder.tflite").read_bytes()


@pytest.fixture
def janus(capsys):
    """Run a command line as `janus` does, without its last-resort error handling."""

    def run(*words):
        arguments = build_parser((*bundle.COMMANDS, *keys.COMMANDS)).parse_args(
            [str(word) for word in words]
        )
        assert arguments.run(arguments) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def unsigned(tmp_path):
    return write(tmp_path / "b", contents(key=None, alignment=ALIGNMENT))


def test_show_is_readable_and_counts_every_file(janus, unsigned):
    said = janus("bundle", "show", unsigned)
    for wanted in ("name       test", "threshold  0.4000: FMR 0.001", "evidence", *FILES):
        assert wanted in said
    assert "signature  none" in said


def test_show_as_json_is_the_manifest_with_its_ids(janus, unsigned):
    shown = json.loads(janus("bundle", "show", unsigned, "--json"))
    manifest = bundles.manifest(alignment=ALIGNMENT)
    assert shown["model_id"] == manifest.model_id
    assert shown["manifest"]["files"].keys() == FILES.keys()
    assert shown["signer"] is None


def test_the_shipped_bundle_is_shown_and_verified_without_a_key(janus):
    assert "shipped with this program" in janus("bundle", "show", SHIPPED_BUNDLE)
    assert "shipped with this program" in janus("bundle", "verify", SHIPPED_BUNDLE)


def test_a_key_is_made_a_bundle_signed_and_the_signature_verified(janus, unsigned, tmp_path):
    fingerprint = janus("keys", "new", tmp_path / "keys").split()[-1]
    public = tmp_path / "keys" / "janus-signing.pub"
    assert janus("keys", "show", public).strip() == fingerprint
    with pytest.raises(BundleError, match=r"no manifest\.sig"):
        janus("bundle", "verify", unsigned, "--trust", public)
    said = janus("bundle", "sign", unsigned, "--key", public.with_suffix(".key"))
    assert fingerprint in said
    assert f"signed by {fingerprint[:12]}" in janus("bundle", "verify", unsigned, "--trust", public)
    before = (unsigned / "manifest.sig").read_bytes()
    janus("bundle", "sign", unsigned, "--key", public.with_suffix(".key"))
    assert (unsigned / "manifest.sig").read_bytes() == before


def test_nobody_signs_what_is_not_whole(janus, unsigned, tmp_path):
    janus("keys", "new", tmp_path / "keys")
    (unsigned / "encoder.tflite").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"encoder\.tflite"):
        janus("bundle", "sign", unsigned, "--key", tmp_path / "keys" / "janus-signing.key")
    assert not (unsigned / "manifest.sig").exists()


def test_nobody_signs_what_failed_parity(janus, tmp_path):
    janus("keys", "new", tmp_path / "keys")
    failed = write(tmp_path / "b", contents(key=None, parity={"passed": 0.0}))
    with pytest.raises(BundleError, match="parity"):
        janus("bundle", "sign", failed, "--key", tmp_path / "keys" / "janus-signing.key")


def test_verify_asks_the_configuration_of_the_door(janus, unsigned, tmp_path):
    config = tmp_path / "janus.toml"
    config.write_text("")
    with pytest.raises(BundleError, match=r"no manifest\.sig"):
        janus("bundle", "verify", unsigned, "--config", config)
    config.write_text("[encoder]\nallow_unsigned = true\n")
    assert "not signed" in janus("bundle", "verify", unsigned, "--config", config)
    config.write_text('[encoder]\ntrusted_keys = ["none.pub"]\n')
    with pytest.raises(ConfigError, match=r"none\.pub"):
        janus("bundle", "verify", unsigned, "--config", config)


def test_diff_says_field_by_field_what_changed_and_that_galleries_stay(janus, tmp_path):
    files = FILES | {"finder.tflite": b"sharper eyes"}
    one = write(tmp_path / "one", contents())
    other = write(tmp_path / "other", contents(files, name="new", versions={"numpy": "2"}))
    lines = janus("bundle", "diff", one, other).splitlines()
    assert "name: test -> new" in lines
    assert "versions.numpy: (none) -> 2" in lines
    assert "versions.tensorflow: 2.21.0 -> (none)" in lines
    assert any(line.startswith("files.finder.tflite.sha256: ") for line in lines)
    assert not any(line.startswith("files.encoder.tflite") for line in lines)
    assert lines[-1].startswith("galleries stay valid")


def test_diff_says_that_another_encoder_means_enrolling_again(janus, tmp_path):
    one = write(tmp_path / "one", contents())
    other = write(tmp_path / "other", contents(FILES | {"encoder.tflite": b"another"}))
    assert "galleries must be enrolled again" in janus("bundle", "diff", one, other)
    assert json.loads(janus("bundle", "diff", one, other, "--json"))["enrol_again"] is True
    assert "say the same" in janus("bundle", "diff", one, one)


@pytest.mark.skipif(not installed_runtimes(), reason="no TFLite runtime is installed")
def test_install_and_rollback_say_what_is_in_force(janus, tmp_path):
    janus("keys", "new", tmp_path / "keys")
    new = write(tmp_path / "new", contents({"encoder.tflite": TINY}, key=None, alignment=ALIGNMENT))
    janus("bundle", "sign", new, "--key", tmp_path / "keys" / "janus-signing.key")
    config = tmp_path / "janus.toml"
    config.write_text(
        '[detector]\nbackend = "haar"\n[encoder]\ntrusted_keys = ["keys/janus-signing.pub"]\n'
        '[store]\ngallery = "g.sqlite"\naudit = "a.sqlite"\nbundles = "bundles"\n'
    )
    said = janus("bundle", "install", new, "--config", config)
    assert "test " in said
    assert "is in force" in said
    assert "until it is started again" in said
    assert "is in force" in janus("bundle", "rollback", "--config", config)


@pytest.mark.parametrize("words", [["bundle"], ["bundle", "polish"], ["keys"], ["keys", "old"]])
def test_an_unknown_action_is_a_usage_error(words, capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser((*bundle.COMMANDS, *keys.COMMANDS)).parse_args(words)
    assert caught.value.code == 2


@pytest.mark.parametrize("action", ["show", "verify", "diff", "sign", "install", "rollback", "new"])
def test_each_action_has_an_example(action, capsys):
    group = "keys" if action == "new" else "bundle"
    with pytest.raises(SystemExit):
        build_parser((*bundle.COMMANDS, *keys.COMMANDS)).parse_args([group, action, "--help"])
    assert f"example: janus {group} {action}" in capsys.readouterr().out
