"""The same encoder as float16 and float32 files: to compare with, for no door runs them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.parity import Agreement, agreement
from convert.runtimes import run_encoder
from edge.errors import BundleError
from edge.vocabulary import FloatArray
from train.data.framing import Crops
from train.measuring.metrics import IntArray

FORMS = ("float16", "float32")


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the encoder in one runtime: its size, its agreement with Keras, its speed.

    ``call_ms`` is the median time of one crop with two threads, on the machine that converts.
    """

    kind: str
    bytes: int
    agreement: Agreement
    call_ms: float


def compare_forms(
    forms: Mapping[str, bytes],
    crops: Crops,
    in_float: FloatArray,
    rows: IntArray,
    runtimes: tuple[str, ...],
) -> tuple[Form, ...]:
    """Measure every form in every runtime on the same crops.

    Args:
        forms: kind → .tflite bytes; of a single one there is nothing to compare.
        crops: the calibration's.
        in_float: (N, D) what Keras makes of them, unit rows.
        rows: which of them to take.
        runtimes: names.

    Raises:
        BundleError: if a runtime refuses one of them.
    """
    if len(forms) < 2:  # noqa: PLR2004 - two are compared
        return ()
    found = []
    for kind, content in forms.items():
        for runtime in runtimes:
            run = run_encoder(content, crops.pixels[rows], runtime, in_float=kind in FORMS)
            agreed = agreement(runtime, in_float[rows], run.embeddings, crops.numbers[rows])
            found.append(Form(kind, len(content), agreed, run.call_ms))
    return tuple(found)


def form_path(bundle: Path, kind: str) -> Path:
    """Return where a form is written: beside *bundle*, as in bundle.float16.tflite."""
    return bundle.with_name(f"{bundle.name}.{kind}.tflite")


def write_form(path: Path, content: bytes) -> None:
    """Write *content* to *path*, which appears complete or not at all.

    Raises:
        BundleError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as exc:
        raise BundleError(f"{path} cannot be written: {exc.strerror}; free space") from exc


def table(forms: tuple[Form, ...]) -> str:
    """Return the forms as text, a line each."""
    head = f"{'form':8} {'bytes':>10}  {'runtime':15} {'cosine: mean':>12} {'1st %':>7} "
    lines = [head + f"{'least':>7} {'TAR':>7} {'flips':>8} {'ms':>7}"]
    for each in forms:
        found, changed = each.agreement, each.agreement.decisions
        rates = f"{changed.tar_int8:7.4f} {changed.flips:8.3%}" if changed else f"{'–':>7} {'–':>8}"
        lines.append(
            f"{each.kind:8} {each.bytes:10,}  {found.runtime:15} {found.cosine_mean:12.5f} "
            f"{found.cosine_p1:7.4f} {found.cosine_min:7.4f} {rates} {each.call_ms:7.2f}"
        )
    return "\n".join(lines)
