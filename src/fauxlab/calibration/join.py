"""How the logits of a detector's heads come on one scale, so that they can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.calibration.fit import fit_calibration
from fauxlab.calibration.kinds import weigh_kinds
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def fit_join(
    head_logits: Floats,
    labels: NDArray[np.int64],
    manipulations: Sequence[str],
    kinds: Sequence[str],
    groups: Sequence[str],
    heads: Sequence[str] = ("made", "altered"),
) -> tuple[Floats, Floats]:
    """Centre [H] and scale [H] of `fauxlab.models.heads.Join`, from logits [N, H] of H heads.

    Labels, manipulations ("" of reals), kinds (the source of a real, the generator of a fake) and
    groups are [N]; `heads` names the manipulation that each head looks for.

    (logit - centre) / scale is the head's own log odds: of its fakes against all reals, as if both
    were equally frequent, each kind counted alike. The logarithm of the summed odds then says how
    much more likely a fake of either sort is than a real. So a head that separates its own fakes
    less well calls fewer pictures fake by its own, and the other loses little by it.

    Raises LabError where reals or a head's fakes are missing, or a logit is not finite.
    """
    logits = np.asarray(head_logits, np.float64)
    labels = np.asarray(labels)
    sorts = np.asarray(manipulations, np.str_)
    kind_names = np.asarray(kinds, np.str_)
    group_names = np.asarray(groups, np.str_)
    is_real = labels == 0
    if not is_real.any():
        raise LabError("no reals to set the join of the heads on; index some for validation")

    centres = []
    scales = []
    for head, name in enumerate(heads):
        is_own = ~is_real & (sorts == name)
        if not is_own.any():
            raise LabError(
                f"no fakes of the manipulation {name!r} to set the join of the heads on; index "
                "some for validation"
            )
        weights = np.zeros(len(labels))
        for rows in (is_real, is_own):
            own_groups = group_names[rows]
            n_groups = len(np.unique(own_groups))
            weights[rows] = n_groups * weigh_kinds(kind_names[rows], own_groups)
        asked = is_real | is_own
        own_logits = logits[asked, head]
        fit = fit_calibration(own_logits, labels[asked], weights[asked])
        # logit / temperature + bias = (logit - centre) / scale
        centres.append(-fit.bias * fit.temperature)
        scales.append(fit.temperature)
    return np.array(centres), np.array(scales)
