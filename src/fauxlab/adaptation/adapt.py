"""Teaches a detector a new generator: a head more, fitted on a few examples, checked and told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fauxlab.adaptation.bundles import Adaptable, add_head, heads_of, open_adaptable
from fauxlab.adaptation.checks import check_name, check_outcome, check_rate, check_reference
from fauxlab.adaptation.examples import (
    Faces,
    check_examples,
    find_faces,
    make_views,
    refuse_shared,
)
from fauxlab.adaptation.figures import (
    call,
    compare,
    compare_calls,
    compare_kinds,
    extend,
    is_uncertain,
    known_fakes,
    threshold_logit,
)
from fauxlab.adaptation.fitting import Line, Scaling, match_scale
from fauxlab.adaptation.lesson import Lesson, choose
from fauxlab.adaptation.reference import Reference, encode_reference, read_reference
from fauxlab.adaptation.seeing import Seen, divide, see
from fauxlab.bundle.adaptations import ADAPTATIONS, list_adaptations
from fauxlab.bundle.config import DetectorConfig, Head
from fauxlab.bundle.folder import REFERENCE
from fauxlab.bundle.heads import HeadWeights
from fauxlab.errors import LabError
from fauxlab.records.adaptation import Adaptation, Change

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.io.passed_over import PassedOver

    Floats = NDArray[np.floating]

Crop = Literal["face", "none"]


@dataclass(frozen=True)
class Adapted:
    """A detector with a head more, and what that brought and cost.

    `fakes` and `reals` are the user's pictures, with those that could not be used.
    """

    detector: Adaptable
    reference: Reference
    report: Adaptation
    fakes: Faces
    reals: Faces | None

    def save_pretrained(self, folder: str | Path) -> str:
        """Write the bundle with its reference over an older bundle; returns its hash."""
        further = {REFERENCE: encode_reference(self.reference)}
        return self.detector.save_pretrained(folder, further).hash


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
    detector, folder = open_adaptable(model, trust)
    heads = heads_of(detector, model)
    config = detector.config
    check_name(name, config)
    check_rate(rate, config, model)
    reference = read_reference(folder)
    check_reference(reference, heads, model)

    found = find_faces(detector, map(str, fakes), crop, passed_over)
    check_examples(found, "the new fakes")
    own = None
    given_reals = list(map(str, reals))
    if given_reals:
        own = find_faces(detector, given_reals, crop, passed_over)
        check_examples(own, "--real", fewest=1)
        refuse_shared(found, own)
    head = Head(name=name, manipulation="altered" if altered else "made")
    return add_knowledge(detector, reference, heads, found, own, head, rate)


def add_knowledge(
    detector: Adaptable,
    reference: Reference,
    heads: HeadWeights,
    fakes: Faces,
    reals: Faces | None,
    head: Head,
    rate: float | None,
) -> Adapted:
    """The detector with this head more, from faces that were found; see `adapt`."""
    config = detector.config
    examples = see(detector, reference, make_views(fakes.pixels))
    refuse_known(config, examples)
    own = None if reals is None else see(detector, reference, [reals.pixels])
    fitted, checked = divide(own)
    lesson = Lesson.of(reference, config, examples, fitted)
    stated = rate or rate_of(config)
    learned = learn(lesson, threshold_logit(config), stated)

    changed = choose(config, lesson, learned.reals, stated)
    heads_of_changed = (*config.heads, head)
    changed = changed.model_copy(update={"heads": heads_of_changed})
    caught = compare_calls(config, changed, examples, learned.examples)
    refuse_vain(caught)

    on_reference = learned.logits(reference.coordinates)
    known, named = known_fakes(config, changed, reference, on_reference)
    report = Adaptation(
        name=head.name,
        manipulation=head.manipulation,
        adapted_from=detector.hash,
        examples=len(fakes),
        fitted_reals=0 if fitted is None else len(fitted.told),
        rate=stated,
        threshold_before=config.threshold,
        threshold=changed.threshold,
        caught=caught,
        own_reals=check_reals(config, changed, checked, learned),
        false_alarms=false_alarms(config, changed, lesson, learned.reals),
        uncertain=uncertain_reals(config, changed, lesson, learned.reals),
        generators=known,
        named=named,
    )
    new_heads = add_head(heads, fold(reference, learned))
    adapted = detector.with_heads(new_heads, with_report(changed, report))
    of_examples = learned.logits(examples.views[0])
    check_outcome(adapted, fakes.pixels, extend(examples.head_logits, of_examples))
    return Adapted(adapted, reference.with_head(on_reference), report, fakes, reals)


@dataclass(frozen=True)
class Learned:
    """A fitted head, and how its logits come on the scale of all heads.

    `reals` [N] and `examples` [n] are logits on that scale, each of a head fitted without it.
    """

    line: Line
    scaling: Scaling
    reals: Floats
    examples: Floats

    def logits(self, coordinates: Floats) -> Floats:
        """Logits [n] of coordinates [n, K], on the scale of all heads."""
        return self.scaling.apply(self.line.logits(coordinates))


def learn(lesson: Lesson, threshold: float, rate: float) -> Learned:
    """The head from all of a lesson, and what new pictures would get of it.

    `threshold` is the detector's, as a joined logit, `rate` the stated false-alarm rate.
    """
    line = lesson.material.fit_all()
    reals, examples = lesson.material.left_out()
    scaling = match_scale(reals, lesson.head_logits, lesson.material.weights, threshold, rate)
    return Learned(
        line,
        scaling,
        reals=scaling.apply(reals),
        examples=scaling.apply(examples),
    )


def refuse_known(config: DetectorConfig, examples: Seen) -> None:
    """Raise LabError where all examples are called fake already."""
    called = call(config, examples.head_logits, examples.told)
    if called.all():
        raise LabError(
            f"all {len(called)} examples are called fake already: there is nothing to learn"
        )


def refuse_vain(caught: Change) -> None:
    """Raise LabError where no more of the left-out examples are caught than before."""
    after, before = caught.after, caught.before
    if after.count <= before.count:
        raise LabError(
            f"nothing was learned that holds: of the {after.of} examples, each left out in turn, "
            f"{after.count} are called fake, and {before.count} were before; give more examples, "
            "or check that they are of one generator and unlike real photos"
        )


def check_reals(
    before: DetectorConfig,
    after: DetectorConfig,
    seen: Seen | None,
    learned: Learned,
) -> Change | None:
    """Of the user's real photos that no fit used, the share that is called fake."""
    if seen is None:
        return None
    new = learned.logits(seen.views[0])
    return compare_calls(before, after, seen, new)


def false_alarms(
    before: DetectorConfig,
    after: DetectorConfig,
    lesson: Lesson,
    new: Floats,
) -> dict[str, Change]:
    """Of the real photos of a lesson, the share that is called fake, by kind."""
    extended = extend(lesson.head_logits, new)
    called_before = call(before, lesson.head_logits, lesson.told)
    called_after = call(after, extended, lesson.told)
    return compare_kinds(called_before, called_after, lesson.kinds)


def uncertain_reals(
    before: DetectorConfig,
    after: DetectorConfig,
    lesson: Lesson,
    new: Floats,
) -> Change:
    """Of all real photos of a lesson, the share that gets "uncertain"."""
    extended = extend(lesson.head_logits, new)
    uncertain_before = is_uncertain(before, lesson.head_logits, lesson.told)
    uncertain_after = is_uncertain(after, extended, lesson.told)
    return compare(uncertain_before, uncertain_after)


def rate_of(config: DetectorConfig) -> float:
    """The stated false-alarm rate."""
    fit = config.calibration
    return 0.0 if fit is None else fit.false_alarm_rate or 0.0


def fold(reference: Reference, learned: Learned) -> HeadWeights:
    """The head on features, as a `HeadWeights` of one head."""
    line = learned.line
    weight, bias = reference.space.fold(line.weight, line.bias)
    centre, scale = learned.scaling
    return HeadWeights(
        weight=np.array([weight], np.float32),
        bias=np.array([bias], np.float32),
        centre=np.array([centre], np.float32),
        scale=np.array([scale], np.float32),
    )


def with_report(config: DetectorConfig, report: Adaptation) -> DetectorConfig:
    """The config with the origin of its new head, checked as on loading."""
    earlier = list_adaptations(config)
    stored = []
    for adaptation in (*earlier, report):
        stored.append(adaptation.model_dump(mode="json"))
    fields = config.model_dump(exclude={"schema_version"})
    fields["training"] = config.training | {ADAPTATIONS: stored}
    return DetectorConfig.model_validate(fields)
