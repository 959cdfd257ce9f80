"""What a scan says of pictures whose truth is known: by kind, by subgroup, and on average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from fauxlab.records.base import Interval, Record

LONGEST_NAME = 40  # characters of a name in a table
SHORTEST_NAME = 20
FIGURE_WIDTH = 23  # of a column that holds a figure with its interval
SHARE_WIDTH = 13  # of a column that holds a share alone

Line = tuple[str, "DecisionShares"]


class DecisionShares(Record):
    """How often a scan takes each decision on pictures of one label, which are all cropped faces.

    The four shares add up to 1. For real photos `called_fake` is the false-alarm rate; for fakes it
    is the share that is caught.
    """

    n: int
    n_groups: int
    called_fake: Interval
    called_real: Interval
    uncertain: Interval
    cannot_tell: Interval
    manipulation_right: Interval | None = Field(
        None,
        description="of the fakes called fake, the share that is rightly called made or altered; "
        "null for real photos and for a detector without heads",
    )


class KindMeans(Record):
    """Means in which every kind weighs alike, however many pictures it has.

    A kind is a source of real photos or a generator of fakes.
    """

    n_real_kinds: int
    n_fake_kinds: int
    auc: Interval = Field(
        description="mean over generators, each against its matched reals, whose kinds weigh alike"
    )
    tpr_at_1_fpr: Interval = Field(description="the same mean")
    reals_called_fake: Interval = Field(description="mean over the kinds of real photos")
    reals_uncertain: Interval = Field(description="mean over the kinds of real photos")
    reals_cannot_tell: Interval = Field(description="mean over the kinds of real photos")
    fakes_called_fake: Interval = Field(description="mean over the generators")
    fakes_manipulation_right: Interval | None = Field(
        None, description="mean over the generators of which any fake was called fake"
    )
    worst_real: str | None = Field(
        None, description="kind of real photos that is called fake most often; null if none is"
    )


class Subgroup(Record):
    """The pictures with one value of a column, or with values in one band."""

    value: str
    reals: DecisionShares | None = None
    fakes: DecisionShares | None = None


class Subgroups(Record):
    """What a scan says of pictures by their values in a column of the manifest."""

    column: str
    edges: list[float] = Field(
        [], description="where bands of numbers begin; each ends before the next; empty: no bands"
    )
    rows: list[Subgroup]
    further: int = Field(0, description="number of rarer values, which have no row")

    def table(self) -> str:
        """The shares as plain text, with a line for each value and label."""
        lines = []
        for row in self.rows:
            if row.reals is not None:
                lines.append((f"{row.value}  real", row.reals))
            if row.fakes is not None:
                lines.append((f"{row.value}  fake", row.fakes))
        text = format_shares(f"by {self.column}", lines)
        if self.further:
            text += f"\n… and {self.further:,} rarer values of {self.column}"
        return text


def format_kinds(
    reals: Mapping[str, DecisionShares],
    fakes: Mapping[str, DecisionShares],
    means: KindMeans | None,
) -> str:
    """What a scan says of each kind, and on average over kinds, as plain text."""
    lines = [(f"real {name}", shares) for name, shares in reals.items()]
    lines += [(f"fake {name}", shares) for name, shares in fakes.items()]
    text = format_shares("what a scan says", lines)
    if means is None:
        return text
    return "\n".join([text, *_format_means(means)])


def _format_means(means: KindMeans) -> list[str]:
    """The means over kinds as lines."""
    lines = []
    if means.n_real_kinds:
        worst = f"; most often of {means.worst_real}" if means.worst_real else ""
        lines.append(
            f"mean of {means.n_real_kinds} kinds of real photos: "
            f"{means.reals_called_fake} called fake{worst}; "
            f"{_percent(means.reals_uncertain)} uncertain"
        )
    if means.n_fake_kinds:
        right = ""
        if means.fakes_manipulation_right is not None:
            right = f"; made or altered: {means.fakes_manipulation_right} right of these"
        lines.append(
            f"mean of {means.n_fake_kinds} kinds of fakes: "
            f"{means.fakes_called_fake} called fake{right}"
        )
    if means.auc.value is not None:
        lines.append(
            f"mean AUC, every kind weighing alike: {means.auc}; TPR@1%FPR {means.tpr_at_1_fpr}"
        )
    return lines


def format_shares(title: str, lines: Sequence[Line]) -> str:
    """Shares of decisions as plain text: a head with the title, then a line for each name."""
    width = max(len(title), width_of_names([name for name, _ in lines]))
    told = any(shares.manipulation_right is not None for _, shares in lines)
    head = [
        f"{title:<{width}}{'N':>7}{'groups':>8} ",
        f"{'called fake':<{FIGURE_WIDTH}}",
        *(f"{name:>{SHARE_WIDTH}}" for name in ("uncertain", "cannot tell")),
        "  made or altered, right" if told else "",
    ]
    rows = ["".join(head)]
    for name, shares in lines:
        row = [
            f"{cut(name):<{width}}{shares.n:>7}{shares.n_groups:>8} ",
            f"{shares.called_fake!s:<{FIGURE_WIDTH}}",
            *_percents((shares.uncertain, shares.cannot_tell)),
        ]
        if shares.manipulation_right is not None:
            row.append(f"  {shares.manipulation_right}")
        rows.append("".join(row))
    return "\n".join(rows)


def width_of_names(names: Iterable[str]) -> int:
    """The width of a column that holds these names, of which the longest are cut."""
    longest = max((len(name) for name in names), default=0)
    return max(SHORTEST_NAME, min(longest, LONGEST_NAME))


def _percents(shares: Iterable[Interval]) -> list[str]:
    return [f"{_percent(share):>{SHARE_WIDTH}}" for share in shares]


def _percent(share: Interval) -> str:
    if share.value is None:
        return "n/a"
    return f"{share.value:.1%}"


def cut(name: str) -> str:
    """A name that fits its column: the end stays, since it tells the labels apart."""
    if len(name) <= LONGEST_NAME:
        return name
    start, end = name[: LONGEST_NAME - 7], name[-6:]
    return f"{start}…{end}"
