"""`janus bundle`: look at bundles, sign them, and put one in force at the door."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.align import ALIGNMENT
from edge.bundles.bundle import Bundle, check_bundle, inspect_bundle, parse_bundle, read_contents
from edge.bundles.installed import trust_of
from edge.bundles.manifest import MANIFEST_FILE, SIGNATURE_FILE
from edge.bundles.shipped import MANIFEST_SHA256
from edge.bundles.signing import Trust, fingerprint_of, read_private_key, sign
from edge.bundles.upgrade import Change, install, rollback
from edge.command import Command
from edge.commands.options import add_config_option, config_from
from edge.config import ENVIRONMENT_VARIABLE, SYSTEM_PATH, EncoderConfig
from edge.errors import BundleError
from edge.stores.directory import write_file

_RESTART = "the door goes on with the bundle that it has loaded until it is started again"


def _add_arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(
        name: str, act: Callable[[Namespace], None], summary: str, example: str
    ) -> ArgumentParser:
        action = actions.add_parser(
            name, help=summary, description=summary, epilog=f"example: janus bundle {example}"
        )
        action.set_defaults(act=act)
        return action

    show = add(
        "show", _show, "Say what a bundle is, and whether its files are whole.", "show bundle/"
    )
    _add_bundle(show)
    show.add_argument("--json", action="store_true", help="print one JSON object")
    verify = add(
        "verify",
        _verify,
        "Say whether a door would open a bundle; nothing is changed.",
        "verify bundle/ --trust keys/janus-signing.pub",
    )
    _add_bundle(verify)
    verify.add_argument(
        "--trust",
        type=Path,
        metavar="KEY",
        action="append",
        help="a public key; given once or more, the configuration is not asked",
    )
    add_config_option(verify)
    diff = add(
        "diff",
        _diff,
        "Say what differs between two bundles, and whether people must be enrolled again.",
        "diff old/ new/",
    )
    diff.add_argument("first", type=Path, metavar="A", help="directory of a bundle")
    diff.add_argument("second", type=Path, metavar="B", help="directory of another")
    diff.add_argument("--json", action="store_true", help="print one JSON object")
    signing = add(
        "sign",
        _sign,
        "Sign a bundle, so that doors which trust the key open it.",
        "sign bundle/ --key keys/janus-signing.key",
    )
    _add_bundle(signing)
    signing.add_argument("--key", type=Path, required=True, help="the private key")
    installing = add(
        "install",
        _install,
        "Verify a bundle, try it, and put it in force at this door; the one before is kept.",
        "install new/",
    )
    _add_bundle(installing)
    installing.add_argument(
        "--accept-re-enrolment",
        action="store_true",
        help="install another encoder though people must be enrolled again",
    )
    add_config_option(installing)
    back = add(
        "rollback", _rollback, "Put the bundle before in force again, with its gallery.", "rollback"
    )
    add_config_option(back)


def _add_bundle(parser: ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="directory of a bundle")


def _run(arguments: Namespace) -> int:
    arguments.act(arguments)
    return 0


def _show(arguments: Namespace) -> None:
    bundle = inspect_bundle(arguments.bundle)
    if arguments.json:
        ids = {"bundle_id": bundle.bundle_id, "model_id": bundle.model_id, "signer": bundle.signer}
        print(json.dumps({**ids, "manifest": asdict(bundle.manifest)}, indent=2))
    else:
        print("\n".join(_facts(bundle)))


def _facts(bundle: Bundle) -> list[str]:
    """Return what a person wants to know, a line each."""
    manifest, point = bundle.manifest, bundle.operating_point
    evidence, eyes = manifest.evidence, manifest.eyes
    passed = manifest.parity.get("passed") == 1.0
    lines = [
        f"name       {bundle.name}",
        f"bundle     {bundle.bundle_id}",
        f"model      {bundle.model_id} (galleries are bound to it)",
        f"signature  {_signature(bundle)}",
        f"alignment  {manifest.alignment}"
        + ("" if manifest.alignment == ALIGNMENT else " (other)"),
        f"encoder    {manifest.encoder.embedding_size} features",
        f"eyes       {'none' if eyes is None else f'{eyes.geometry}, score {eyes.score:g}'}",
        (
            f"threshold  {point.threshold:.4f}: FMR {point.fmr:.3g}, FNMR {point.fnmr:.3g} in "
            f"{point.comparisons:,} non-mated and {point.mated:,} mated comparisons"
        ),
        f"           {point.data_id}",
        (
            f"evidence   log-likelihood ratio {evidence.log_likelihood_ratios[0]:.2f} to "
            f"{evidence.log_likelihood_ratios[-1]:.2f}, {evidence.at(point.threshold):.2f} at the "
            f"threshold ({len(evidence.scores)} points)"
        ),
        f"parity     {'passed' if passed else 'FAILED: no door opens this bundle'}",
        f"recipe     {manifest.training['recipe']}",
        f"made by    {', '.join(map(' '.join, manifest.versions.items()))}",
    ]
    for name, facts in sorted(manifest.files.items()):
        lines.append(f"file       {name:16} {facts.bytes:>9,} bytes  sha256 {facts.sha256[:16]}…")
    total = sum(map(len, bundle.contents.values()))
    return [*lines, f"           {total:,} bytes in all, every file as the manifest says"]


def _signature(bundle: Bundle) -> str:
    if bundle.signer is not None:
        return f"by the key {bundle.signer} (`janus bundle verify` checks it)"
    return "none; shipped with this program" if bundle.bundle_id == MANIFEST_SHA256 else "none"


def _verify(arguments: Namespace) -> None:
    trust = _trust(arguments)
    contents = read_contents(arguments.bundle)
    bundle = check_bundle(contents, arguments.bundle, alignment=ALIGNMENT, trust=trust)
    who = f"signed by {bundle.signer[:12]}…" if bundle.signer else _unsigned(bundle)
    print(f"{bundle.name} {bundle.bundle_id[:12]}: {len(contents)} files, whole, {who}")


def _trust(arguments: Namespace) -> Trust:
    """Return the keys that were named, else those of the door; nobody's where there is no door."""
    named = arguments.config is not None or ENVIRONMENT_VARIABLE in os.environ
    if arguments.trust or not (named or SYSTEM_PATH.exists()):
        return trust_of(EncoderConfig(trusted_keys=tuple(arguments.trust or ())))
    return trust_of(config_from(arguments).encoder)


def _unsigned(bundle: Bundle) -> str:
    shipped = bundle.bundle_id == MANIFEST_SHA256
    return "shipped with this program" if shipped else "not signed: [encoder] allow_unsigned"


def _diff(arguments: Namespace) -> None:
    first, second = inspect_bundle(arguments.first), inspect_bundle(arguments.second)
    changed = differences(first, second)
    again = first.model_id != second.model_id
    if arguments.json:
        fields = {name: {"a": a, "b": b} for name, a, b in changed}
        print(json.dumps({"changed": fields, "enrol_again": again}, indent=2))
        return
    for name, before, after in changed:
        print(f"{name}: {_shown(before)} -> {_shown(after)}")
    if not changed:
        print("the bundles say the same")
    print(
        "\ngalleries must be enrolled again: the encoder or its alignment differs"
        if again
        else "\ngalleries stay valid: encoder and alignment are the same"
    )


def differences(first: Bundle, second: Bundle) -> list[tuple[str, Any, Any]]:
    """Return (field, value of the first, of the second); None where one has no such field."""
    one, other = _flat(asdict(first.manifest), ""), _flat(asdict(second.manifest), "")
    one["signed by"], other["signed by"] = first.signer, second.signer
    return [
        (name, one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return the leaves of *tree* by their path."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            leaves |= _flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def _shown(value: object) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line stays a line


def _sign(arguments: Namespace) -> None:
    key = read_private_key(arguments.key)
    contents = read_contents(arguments.bundle)
    contents.pop(SIGNATURE_FILE, None)  # replaced, whatever it says
    bundle = parse_bundle(contents, arguments.bundle)  # nobody signs what is not whole
    if bundle.manifest.parity.get("passed") != 1.0:
        raise BundleError(
            f"{arguments.bundle} did not pass parity, so no door opens it, signed or not; convert "
            "the model again, without --force"
        )
    write_file(arguments.bundle / SIGNATURE_FILE, sign(contents[MANIFEST_FILE], key))
    print(f"{bundle.name} {bundle.bundle_id[:12]} is signed by {fingerprint_of(key.public_key())}")


def _install(arguments: Namespace) -> None:
    change = install(
        config_from(arguments),
        arguments.bundle,
        accept_re_enrolment=arguments.accept_re_enrolment,
    )
    _report(change)


def _rollback(arguments: Namespace) -> None:
    _report(rollback(config_from(arguments)))


def _report(change: Change) -> None:
    print(f"{change.bundle.name} {change.bundle.bundle_id[:12]} is in force; {_RESTART}")
    if change.embedded_again:
        print(f"{change.embedded_again} reference(s) were made of kept crops")
    if change.left_out:
        print(f"must be enrolled again: {', '.join(change.left_out)}")


COMMANDS = (
    Command(
        name="bundle",
        summary="Show, verify, compare and sign bundles; install one at the door, or go back.",
        example="janus bundle show bundle/",
        add_arguments=_add_arguments,
        run=_run,
    ),
)
