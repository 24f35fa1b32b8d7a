"""One-shot accuracy of a recipe on AT&T, every person held out once: mean over four folds of ten.

    python bench/att_folds.py ../shared/data/att-faces att-plus

Each fold trains on the other thirty people. The interval is Student's over the four folds (95 %).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from train.data.framing import frame
from train.data.readers import READERS
from train.data.sampling import split_subjects
from train.fitting.model import embed
from train.measuring.evaluate import one_shot_rate
from train.measuring.metrics import compare_all, equal_error_rate
from train.recipes import resolve
from train.run import fit_encoder

_FOLDS = 4
_STUDENT = 3.182  # 97.5 % quantile of Student's t with three degrees of freedom


def main() -> None:
    """Fit each fold, print its figures, then the means."""
    recipe = resolve(sys.argv[2] if len(sys.argv) > 2 else "att-plus", sys.argv[3:])
    crops = frame(READERS[recipe.reader](Path(sys.argv[1])), recipe.frames)
    figures = []
    for fold in range(_FOLDS):
        split = split_subjects(crops.index.subjects, validated=0, tested=10, fold=fold)
        with tempfile.TemporaryDirectory() as run:
            encoder, _ = fit_encoder(recipe, crops.only(split.fitted), crops.only(()), Path(run))
        tested = crops.only(split.tested)
        embeddings = embed(encoder, tested.pixels)
        compared = compare_all(embeddings, tested.numbers)
        one_shot = one_shot_rate(embeddings, tested.numbers, ways=10, seed=0).rate
        figures.append((one_shot, equal_error_rate(compared.mated, compared.nonmated)))
        held = f"{split.tested[0]} to {split.tested[-1]}"
        print(f"{held:>12}: 10-way one-shot {figures[-1][0]:.1%}, EER {figures[-1][1]:.1%}")
    means, spreads = np.mean(figures, axis=0), np.std(figures, axis=0, ddof=1)
    for name, mean, spread in zip(("10-way one-shot", "EER"), means, spreads, strict=True):
        print(f"{name}: {mean:.1%} ± {_STUDENT * spread / _FOLDS**0.5:.1%}")


if __name__ == "__main__":
    main()
