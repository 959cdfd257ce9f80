"""Teaches a detector a new generator: a head more, fitted on a few examples, checked and told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fauxlab.adaptation.bundles import Adaptable, add_head, heads_of, open_adaptable
from fauxlab.adaptation.examples import (
    BATCH,
    Faces,
    check_examples,
    find_faces,
    make_views,
    refuse_shared,
)
from fauxlab.adaptation.figures import compare, compare_kinds, join
from fauxlab.adaptation.fitting import Line, Material, Scaling, match_scale
from fauxlab.adaptation.reference import (
    MANIPULATIONS,
    Reference,
    encode_reference,
    read_reference,
    weigh_kinds,
)
from fauxlab.adaptation.thresholds import Reals, choose_thresholds
from fauxlab.bundle.adaptations import ADAPTATIONS, list_adaptations
from fauxlab.bundle.config import Calibration, DetectorConfig, Head
from fauxlab.bundle.decision import can_tell, compute_scores
from fauxlab.bundle.heads import HeadWeights
from fauxlab.errors import LabError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.text import printable
from fauxlab.io.tint import measure_tint
from fauxlab.records.adaptation import Adaptation, Change

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.io.passed_over import PassedOver

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FEWEST_REALS = 10  # from so many on, half of the user's real photos are learned from
OWN_KIND = "yours"  # the user's real photos, among the kinds
SAME = 0.97  # the least correlation of the reference's logits with those of the bundle's heads
TOLERANCE = 0.05  # of logits, between what was fitted and what the new bundle gives
Crop = Literal["face", "none"]


@dataclass(frozen=True)
class Adapted:
    """A detector with a head more, and what that brought and cost.

    `fakes` and `reals` are the user's pictures, with those that could not be used.
    """

    bundle: Adaptable
    reference: Reference
    report: Adaptation
    fakes: Faces
    reals: Faces | None

    @property
    def detector(self) -> AnyDetector:
        """The new detector."""
        return self.bundle.detector

    def save_pretrained(self, folder: str | Path) -> str:
        """Write the bundle with its reference over an older bundle; returns its hash."""
        return self.bundle.save(Path(folder), encode_reference(self.reference))


class Seen(NamedTuple):
    """What a detector made of n faces, in V views, of which the first is the face as it is."""

    views: Floats  # coordinates [V, n, K]
    head_logits: Floats  # [n, H]
    told: Bools  # [n]: no "cannot tell"


def adapt(
    model: str | Path,
    fakes: Iterable[str | Path],
    reals: Iterable[str | Path] = (),
    *,
    name: str,
    altered: bool = False,
    rate: float | None = None,
    crop: Crop = "face",
    trust: bool = False,
    passed_over: PassedOver | None = None,
) -> Adapted:
    """A detector that knows a new generator from a few of its pictures, at least three.

    `fakes` and `reals` are files, folders and zips, as a scan takes them. The generator gets the
    `name`; `altered` says that its pictures are real photos altered inside, and not made whole. At
    most `rate` of the reals are called fake, by default as many as the model states. Without
    `reals` the real photos of the bundle's reference alone are learned from. Raises LabError where
    the model has no reference, the name is taken, there are too few faces, or nothing is learned.

    >>> import fauxlab as fl
    >>> adapted = fl.adapt("fauxlab", ["new-fakes/"], name="new")  # doctest: +SKIP
    >>> print(adapted.report.table())  # doctest: +SKIP
    >>> adapted.save_pretrained("fauxlab-new")  # doctest: +SKIP
    >>> fl.adapt("no-such-model", ["new-fakes/"], name="new")
    Traceback (most recent call last):
        ...
    fauxlab.errors.LabError: no config.json in no-such-model; a model is a folder such as \
runs/<name>/best
    """
    bundle, folder = open_adaptable(model, trust)
    heads = heads_of(bundle, model)
    config = bundle.detector.config
    check_name(name, config)
    check_rate(rate, config, model)
    reference = read_reference(folder)
    check_reference(reference, heads, model)

    found = find_faces(bundle.detector, map(str, fakes), crop, passed_over)
    check_examples(found, "the new fakes")
    own = None
    given_reals = list(map(str, reals))
    if given_reals:
        own = find_faces(bundle.detector, given_reals, crop, passed_over)
        check_examples(own, "--real", fewest=1)
        refuse_shared(found, own)
    return learn(bundle, reference, heads, found, own, name, altered, rate)


def learn(
    bundle: Adaptable,
    reference: Reference,
    heads: HeadWeights,
    fakes: Faces,
    reals: Faces | None,
    name: str,
    altered: bool,
    rate: float | None,
) -> Adapted:
    """The bundle with a head more, from faces that were found; see `adapt`."""
    detector = bundle.detector
    config = detector.config
    examples = see(detector, reference, make_views(fakes.pixels))
    caught_before = call(config, examples.head_logits, examples.told)
    if caught_before.all():
        raise LabError(
            f"all {len(fakes)} examples are called fake already: there is nothing to learn"
        )
    own = None if reals is None else see(detector, reference, [reals.pixels])
    fitted, checked = divide(own)
    lesson = Lesson.of(reference, config, examples, fitted)

    # What a new picture would get: logits of heads that were fitted without it.
    line = lesson.material.fit_all()
    left_out_reals, left_out_examples = lesson.material.left_out()
    scaling = match_scale(left_out_reals, lesson.head_logits, lesson.material.weights)
    new_reals = extend(lesson.head_logits, scaling.apply(left_out_reals))
    new_examples = extend(examples.head_logits, scaling.apply(left_out_examples))

    changed = choose(config, lesson, new_reals, rate)
    head = Head(name=name, manipulation="altered" if altered else "made")
    changed = changed.model_copy(update={"heads": (*config.heads, head)})
    caught = compare(caught_before, call(changed, new_examples, examples.told))
    if caught.after.count <= caught.before.count:
        raise LabError(
            f"nothing was learned that holds: of the {len(fakes)} examples, each left out in turn, "
            f"{caught.after.count} are called fake, and {caught.before.count} were before; give "
            "more examples, and real photos of the same sort with --real"
        )

    on_reference = scaling.apply(line.logits(reference.coordinates))
    own_reals = None
    if checked is not None:
        own_logits = scaling.apply(line.logits(checked.views[0]))
        own_reals = compare_calls(config, changed, checked, own_logits)
    n_reference = int(reference.is_real.sum())
    report = Adaptation(
        name=name,
        manipulation=head.manipulation,
        adapted_from=detector.hash,
        examples=len(fakes),
        fitted_reals=0 if fitted is None else len(fitted.told),
        rate=rate_of(changed),
        threshold_before=config.threshold,
        threshold=changed.threshold,
        caught=caught,
        own_reals=own_reals,
        false_alarms=false_alarms(config, changed, lesson, new_reals, n_reference),
        **known_fakes(config, changed, reference, on_reference),
    )
    changed = with_report(changed, report)
    new_heads = add_head(heads, fold(reference, line, scaling))
    adapted = bundle.with_heads(new_heads, changed)
    expected = extend(examples.head_logits, scaling.apply(line.logits(examples.views[0])))
    check_outcome(adapted.detector, fakes.pixels, expected)
    return Adapted(adapted, reference.with_head(on_reference), report, fakes, reals)


# --- what may be asked for


def check_name(name: str, config: DetectorConfig) -> None:
    """Raise LabError on a name that is none, or that a head has already."""
    if not NAME.fullmatch(name):
        raise LabError(
            f"--name {printable(name)!r:.80}: up to 64 letters, digits, dots, dashes and "
            "underscores, as midjourney-7"
        )
    taken = [head.name for head in config.heads]
    if name in taken:
        raise LabError(
            f"the model has a head {name!r} already (it has {', '.join(taken)}); choose another "
            "--name, or adapt the model from before that"
        )


def check_rate(rate: float | None, config: DetectorConfig, model: str | Path) -> None:
    """Raise LabError on a rate that is none, and for a model that states none."""
    fit = config.calibration
    if fit is None or fit.false_alarm_rate is None:
        raise LabError(
            f"{printable(model)} states no false-alarm rate; calibrate it first, with "
            "`fauxlab detector calibrate MODEL MANIFEST --reference`"
        )
    if rate is not None and not 0 < rate < 1:
        raise LabError(f"--rate {rate}: give a share between 0 and 1, as 0.02")


def check_reference(reference: Reference, heads: HeadWeights, model: str | Path) -> None:
    """Raise LabError where the reference is not of this network and these heads."""
    space = reference.space
    is_alike = heads.weight.shape[1] == len(space.mean)
    is_alike &= reference.head_logits.shape[1] == len(heads.bias)
    if is_alike:
        weight = heads.weight * space.scale
        if space.basis.shape[1]:
            weight = weight @ space.basis
        again = reference.coordinates @ weight.T
        pairs = zip(again.T, reference.head_logits.T, strict=True)
        is_alike = all(correlate(one, other) >= SAME for one, other in pairs)
    if not is_alike:
        raise LabError(
            f"the reference in {printable(model)} is of another model; make it anew with "
            "`fauxlab detector calibrate MODEL MANIFEST --reference`"
        )


def correlate(one: Floats, other: Floats) -> float:
    """The correlation of two lists; 1 where both are constant."""
    spreads = one.std() * other.std()
    if not spreads:
        return 1.0 if one.std() == other.std() else 0.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / spreads)


# --- the pictures


def see(detector: AnyDetector, reference: Reference, views: list[Pixels]) -> Seen:
    """What the detector makes of views uint8 [n, 3, size, size] of faces."""
    coordinates = []
    head_logits: list[Floats] = []
    told: list[bool] = []
    for number, pixels in enumerate(views):
        features = []
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            predicted = detector.predict(part)
            features.append(predicted.features)
            if number == 0:
                head_logits.append(predicted.head_logits.astype(np.float64))
                distances = predicted.ood_distances.tolist()
                told += is_told(detector.config, part, distances)
        all_features = np.concatenate(features).astype(np.float64)
        if not np.isfinite(all_features).all():
            raise LabError("the model gives no finite features for some of these pictures")
        coordinates.append(reference.space.project(all_features))
    return Seen(np.stack(coordinates), np.concatenate(head_logits), np.array(told))


def is_told(config: DetectorConfig, pixels: Pixels, distances: list[float]) -> list[bool]:
    """Whether each picture [n] gets a verdict, and not "cannot tell"."""
    told = []
    for picture, distance in zip(pixels, distances, strict=True):
        told.append(can_tell(config, distance, measure_sharpness(picture), measure_tint(picture)))
    return told


def divide(seen: Seen | None) -> tuple[Seen | None, Seen | None]:
    """The half to learn from and the half to check on; all to check on where there are few."""
    if seen is None or len(seen.told) < FEWEST_REALS:
        return None, seen
    is_odd = np.arange(len(seen.told)) % 2 == 1
    halves = []
    for rows in (~is_odd, is_odd):
        halves.append(Seen(seen.views[:, rows], seen.head_logits[rows], seen.told[rows]))
    return halves[0], halves[1]


@dataclass(frozen=True)
class Lesson:
    """The real photos of a fit, those of the reference first, and the material that they are in."""

    material: Material
    kinds: NDArray[np.str_]  # [N]
    head_logits: Floats  # [N, H]
    told: Bools  # [N]

    @classmethod
    def of(
        cls, reference: Reference, config: DetectorConfig, examples: Seen, own: Seen | None
    ) -> Lesson:
        """The reference's real photos, and the user's own as a kind of theirs."""
        real = reference.is_real
        coordinates = reference.coordinates[real]
        kinds = reference.kinds[real]
        groups = reference.groups[real]
        head_logits = reference.head_logits[real]
        told = reference.told(config)[real]
        if own is not None:
            n = len(own.told)
            coordinates = np.concatenate([coordinates, own.views[0]])
            kinds = np.concatenate([kinds, np.full(n, OWN_KIND)])
            groups = np.concatenate([groups, groups.max() + 1 + np.arange(n)])
            head_logits = np.concatenate([head_logits, own.head_logits])
            told = np.concatenate([told, own.told])
        weights = weigh_kinds(kinds, groups)
        material = Material(coordinates, weights, groups, examples.views)
        return cls(material, kinds, head_logits, told)


# --- scores and verdicts


def extend(head_logits: Floats, new: Floats) -> Floats:
    """Logits [N, H + 1] of all heads, from those of the others [N, H] and of the new one [N]."""
    return np.column_stack([head_logits, new])


def scores_of(config: DetectorConfig, head_logits: Floats) -> Floats:
    """P(fake) [N], in the precision of a detector, from heads' logits [N, H]."""
    return compute_scores(config, join(head_logits).astype(np.float32))


def call(config: DetectorConfig, head_logits: Floats, told: Bools) -> Bools:
    """Which pictures [N] are called fake."""
    return told & (scores_of(config, head_logits) >= config.threshold)


def choose(
    config: DetectorConfig, lesson: Lesson, head_logits: Floats, rate: float | None
) -> DetectorConfig:
    """The config with the thresholds at which the real photos keep the stated rates."""
    fit = config.calibration or Calibration(temperature=1, bias=0)
    scores = np.where(lesson.told, scores_of(config, head_logits), 0.0)
    reals = Reals(scores, lesson.kinds, lesson.material.groups)
    stated = rate or fit.false_alarm_rate or 0.0
    new_fit, threshold = choose_thresholds(reals, fit, stated, config.threshold)
    return config.model_copy(update={"calibration": new_fit, "threshold": threshold})


def rate_of(config: DetectorConfig) -> float:
    """The stated false-alarm rate."""
    fit = config.calibration
    return 0.0 if fit is None else fit.false_alarm_rate or 0.0


# --- figures


def compare_calls(
    before: DetectorConfig, after: DetectorConfig, seen: Seen, new: Floats
) -> Change:
    """How many of these faces are called fake, before and after."""
    called_before = call(before, seen.head_logits, seen.told)
    called_after = call(after, extend(seen.head_logits, new), seen.told)
    return compare(called_before, called_after)


def false_alarms(
    before: DetectorConfig,
    after: DetectorConfig,
    lesson: Lesson,
    new_reals: Floats,
    n_reference: int,
) -> dict[str, Change]:
    """Of the reference's real photos, the share that is called fake, by source."""
    rows = slice(n_reference)
    told = lesson.told[rows]
    called_before = call(before, lesson.head_logits[rows], told)
    called_after = call(after, new_reals[rows], told)
    return compare_kinds(called_before, called_after, lesson.kinds[rows])


def known_fakes(
    before: DetectorConfig, after: DetectorConfig, reference: Reference, new: Floats
) -> dict[str, dict[str, Change]]:
    """Of the reference's fakes by generator: how many are caught, and named rightly of those.

    No fit has seen them, so the head is the final one.
    """
    fake = ~reference.is_real
    kinds = reference.kinds[fake]
    truth = [MANIPULATIONS[place] for place in reference.manipulations[fake]]
    told = reference.told(before)[fake]
    called = []
    right = []
    for config, logits in (
        (before, reference.head_logits[fake]),
        (after, extend(reference.head_logits, new)[fake]),
    ):
        called.append(call(config, logits, told))
        names = [config.heads[place].manipulation for place in logits.argmax(1).tolist()]
        right.append(np.array(names) == np.array(truth))
    caught = compare_kinds(called[0], called[1], kinds)
    named = {}
    for kind in caught:
        # Of those that are caught before and after, so that the two shares can be compared.
        own = (kinds == kind) & called[0] & called[1]
        if own.any():
            named[kind] = compare(right[0][own], right[1][own])
    return {"generators": caught, "named": named}


# --- the new bundle


def fold(reference: Reference, line: Line, scaling: Scaling) -> HeadWeights:
    """The head on features, as a `HeadWeights` of one head."""
    weight, bias = reference.space.fold(line.weight, line.bias)
    numbers = (weight[None], [bias], [scaling.centre], [scaling.scale])
    return HeadWeights(*[np.asarray(number, dtype=np.float32) for number in numbers])


def with_report(config: DetectorConfig, report: Adaptation) -> DetectorConfig:
    """The config with the origin of its new head, checked as on loading."""
    earlier = list_adaptations(config)
    stored = [adaptation.model_dump(mode="json") for adaptation in [*earlier, report]]
    training = config.training | {ADAPTATIONS: stored}
    fields = config.model_dump(exclude={"schema_version"}) | {"training": training}
    return DetectorConfig.model_validate(fields)


def check_outcome(detector: AnyDetector, pixels: Pixels, expected: Floats) -> None:
    """Raise LabError where the new detector does not give these logits of its heads [n, H]."""
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        given = detector.predict(pixels[part]).head_logits
        wanted = expected[part]
        is_same = given.shape == wanted.shape and np.allclose(given, wanted, TOLERANCE, TOLERANCE)
        if not is_same:
            raise LabError(
                "the new detector does not give what was fitted; nothing was written. Its graph "
                "does not compute the heads from the features that it gives: export it again"
            )
