"""Draw a small data set, train a detector on it, and read the training's log.

    python examples/train_on_toyfaces.py FOLDER

Needs `pip install '.[train]'`. Takes less than a minute on two CPU cores. So short a training on
drawn faces gives no useful detector: the example shows the steps, and what a run folder holds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fauxlab as fl
from fauxlab.datasets.toyfaces import write_toyfaces


def train(folder: Path, images: int = 240, epochs: int = 2) -> fl.DetectionReport:
    """Train below `folder` and evaluate on the test split."""
    # Four folders of faces: one real, three with different kinds of fakes.
    write_toyfaces(folder / "toy", n=images, size=64, seed=0)
    data = fl.index(folder / "toy").split(seed=0)

    # A recipe is one experiment. Here the pictures are made smaller, so that it is fast.
    changes = ["data.size=32", f"train.epochs={epochs}"]
    recipe = fl.recipe("unified-joint", changes)
    run = fl.train_detector(data, recipe, out=folder / "runs")

    print_log(run.folder / "log.jsonl")
    return fl.evaluate(run.model, data.test)


def print_log(path: Path) -> None:
    """Print what each epoch of a training came to."""
    for line in read_log(path):
        # "step" lines carry the training loss, "epoch" lines the figures on the validation split.
        if line["event"] == "epoch":
            loss, auc = line["val_loss"], line["val_auc"]
            print(f"epoch {line['epoch']}: validation loss {loss:.3f}, AUC {auc:.3f}")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, each one JSON object."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/train_on_toyfaces.py FOLDER")
    print(train(Path(sys.argv[1])).table())


if __name__ == "__main__":
    main()
