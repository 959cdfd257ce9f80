"""How a fake is said to be manipulated."""

from __future__ import annotations

import numpy as np

from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.decision import name_manipulation
from fauxlab.io.images import PIPELINE_VERSION


def test_the_head_with_the_highest_logit_names_the_manipulation() -> None:
    alone = DetectorConfig(
        architecture="trace",
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
    )
    heads = (
        Head(name="gan", manipulation="made"),
        Head(name="swap", manipulation="altered"),
        Head(name="new", manipulation="made"),
    )
    config = alone.model_copy(update={"heads": heads})
    for logits, expected in (([2, 1, 0], "made"), ([-3, -1, -2], "altered"), ([0, 1, 2], "made")):
        assert name_manipulation(config, np.array(logits, np.float32)) == expected
    none = np.zeros(0, np.float32)
    assert name_manipulation(alone, none) is None
    assert name_manipulation(config, none) is None, "a graph that does not give them"
