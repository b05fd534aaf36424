"""The grid: targets, domains, imaging groups, inputs, cells and their published names.

A *cell* is one (target, inputs) pair. The rule that makes the cells, and the names of inputs, are
those of Ruffle et al., NeuroImage 291:120600 (2024); the lists come from
``conf/base/parameters_grid.yml``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from ukb_brain.errors import InputError
from ukb_brain.part_of_grid import Names, chosen_part
from ukb_brain.settings_base import Settings

Kind = Literal["binary", "continuous"]
Rule = Literal["value", "equals", "any_of", "mean", "difference", "log", "binned"]


class _Takes(NamedTuple):
    """What a rule makes, in words too, how many fields it takes (the last 0: any number), if codes.

    Words may hold ``{codes}``, ``{0}`` and ``{1}`` (its fields), ``{of_fields}`` (where it has
    several), ``{direction}`` and ``{at}`` (its cut-off) in braces.
    """

    kind: Kind
    words: str
    fields: tuple[int, int] = (1, 1)
    values: bool = False


# How each is computed: `ukb_brain.tables.rules.COMPUTED`.
RULES: dict[Rule, _Takes] = {
    "value": _Takes("continuous", "the first answer"),
    "equals": _Takes("binary", "1 where the first answer is {codes}, else 0", values=True),
    "any_of": _Takes("binary", "1 where any answer is {codes}, else 0", values=True),
    "mean": _Takes("continuous", "the mean of answers{of_fields}", (1, 0)),
    "difference": _Takes("continuous", "{0} less {1}", (2, 2)),
    "log": _Takes(
        "continuous", "the natural logarithm of the first answer; none where it is not above 0"
    ),
    "binned": _Takes("binary", "1 where {direction} {at}, else 0"),
}


class Domain(Settings):
    """A domain of targets; its traits together are a block of inputs."""

    letter: str = Field(pattern="^[A-Z]$")


class Modality(Settings):
    """A modality of an imaging group and its place in the published name."""

    name: str
    order: int


class Target(Settings):
    """A characteristic to predict and how it is derived from its UK Biobank fields.

    Attributes
    ----------
    name : str
        Shown in reports.
    domain : str
        Key of its domain.
    kind : {"binary", "continuous"}
        Given by the rule: ``any_of``, ``equals`` and ``binned`` make binary targets.
    fields : tuple of int
        Written as ``field: 46``, or ``fields: [46, 47]`` for rules that take several.
    rule : str
        See `ukb_brain.tables.rules`.
    values : tuple of int
        Codes that count as yes; of ``any_of`` and ``equals``.
    missing : tuple of int
        Codes that are no answer.
    threshold, quantile : float, optional
        Cut-off of ``binned``: a number, or a quantile of each fold's training people.
    direction : {"above", "below"}
        Which side of the cut-off is yes.
    visit : {"imaging", "latest", "nearest"}
        Which visit's answer goes with a scan.
    unit : str
        Shown in reports.
    """

    name: str
    domain: str
    kind: Kind
    fields: tuple[int, ...] = Field(min_length=1)
    rule: Rule
    values: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    threshold: float | None = None
    quantile: float | None = Field(default=None, gt=0, lt=1)
    direction: Literal["above", "below"] = "above"
    visit: Literal["imaging", "latest", "nearest"] = "latest"
    unit: str = ""

    @model_validator(mode="before")
    @classmethod
    def _one_field_is_a_list_of_one(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "field" not in given:
            return given
        if "fields" in given:
            raise ValueError("give `field` for one field or `fields` for several, not both")
        return {k: v for k, v in given.items() if k != "field"} | {"fields": (given["field"],)}

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        taken = RULES[self.rule]
        problems = []
        if taken.kind != self.kind:
            fit = ", ".join(
                sorted(rule for rule, takes in RULES.items() if takes.kind == self.kind)
            )
            problems.append(f"a {self.kind} target takes rule {fit}; {self.rule} makes no such one")
        fewest, most = taken.fields
        if not fewest <= len(self.fields) <= (most or len(self.fields)):
            number = f"{fewest} field" if most == 1 else f"{fewest} fields"
            problems.append(f"rule {self.rule} takes {number}, got {list(self.fields)}")
        if taken.values != bool(self.values):
            words = "needs `values`, the codes that count" if taken.values else "takes no `values`"
            problems.append(f"rule {self.rule} {words}")
        if self.rule == "equals" and len(self.values) > 1:
            problems.append("rule equals takes one of `values`; rule any_of takes several")
        cuts = sum(cut is not None for cut in (self.threshold, self.quantile))
        if self.rule == "binned" and cuts != 1:
            problems.append("rule binned needs either `threshold`, a number, or `quantile`")
        if self.rule != "binned" and (cuts or self.direction != "above"):
            problems.append(f"rule {self.rule} takes no `threshold`, `quantile` or `direction`")
        if both := sorted({*self.values} & {*self.missing}):
            problems.append(f"codes {both} are among `values` and among `missing`")
        if problems:
            raise ValueError(f"target {self.name!r}: {'; '.join(problems)}")
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether its cut-off is fitted on training people, so that it differs between folds."""
        return self.quantile is not None


@dataclass(frozen=True)
class Inputs:
    """A set of imaging groups and blocks.

    Attributes
    ----------
    groups : tuple of str
        Imaging groups, in the order of the configuration.
    blocks : tuple of str
        Domains whose traits are inputs, in the order of the configuration.
    name : str
        The published name, e.g. ``DWI + FLAIR + T1 + Non-imaging data (C + P)``.
    """

    groups: tuple[str, ...]
    blocks: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Cell:
    """One (target, inputs) pair of the grid."""

    target: str
    inputs: Inputs


def subsets(items: tuple[str, ...]) -> list[tuple[str, ...]]:
    """List all sets of some items, the empty one first, small before large, in their order."""
    return list(chain.from_iterable(combinations(items, n) for n in range(len(items) + 1)))


class Grid(Settings):
    """Targets, domains and imaging groups, and the cells that they span.

    Attributes
    ----------
    base_domain : str
        Key of the domain whose block every other target has, where the grid has that domain.
    domains, targets : dict
        By key.
    imaging : dict of str to dict of str to Modality
        Imaging groups of the grid.
    offered : dict of str to dict of str to Modality
        What more there may be, by the imaging group that it joins or makes.
    also : tuple of str
        Names of modalities, or whole groups, of what is offered: they join ``imaging``.
    only, leave_out : tuple of str
        Names of targets, domains, imaging groups or modalities that alone stay, and that are taken
        out: ``[age, functional]``, or ``age+functional`` in ``--params``. See
        `ukb_brain.part_of_grid.chosen_part`.
    left_out : tuple of str
        All names that are no part of this grid though somebody named them: those taken out, what
        went with them, and what an overlay set to null.

    Examples
    --------
    >>> import yaml
    >>> with open("conf/base/parameters_grid.yml") as file:
    ...     grid = Grid(**yaml.safe_load(file)["grid"])
    >>> len(grid.cells), grid.inputs(("structural",), ("constitutional",)).name
    (700, 'FLAIR + T1 + Non-imaging data (C)')
    """

    base_domain: str
    domains: dict[str, Domain]
    imaging: dict[str, dict[str, Modality]] = Field(min_length=1)
    targets: dict[str, Target] = Field(min_length=1)
    offered: dict[str, dict[str, Modality]] = Field(default={})
    also: Names = ()
    only: Names = ()
    leave_out: Names = ()
    left_out: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _takes_a_part(cls, given: Any) -> Any:
        return chosen_part(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.base_domain not in (*self.domains, *self.left_out):
            raise ValueError(
                f"base_domain {self.base_domain!r} is not one of the domains {sorted(self.domains)}"
            )
        for key, target in self.targets.items():
            if target.domain not in self.domains:
                raise ValueError(
                    f"target {key!r} has domain {target.domain!r}, which is not one of "
                    f"{sorted(self.domains)}; add it under `domains` or correct the name"
                )
        for kind, names in {
            "letters of domains": [domain.letter for domain in self.domains.values()],
            "names of targets": [target.name for target in self.targets.values()],
            "modalities": [key for group in self.imaging.values() for key in group],
            # Features of both, and flags of both, are held side by side by these names.
            "imaging groups and domains": [*self.imaging, *self.domains],
            "modalities and domains": [*self.modalities, *self.domains],
        }.items():
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} must differ from each other, got {names}")
        return self

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """Keys of all modalities, in the order of the configuration."""
        return tuple(key for group in self.imaging.values() for key in group)

    @property
    def _base_block(self) -> tuple[str, ...]:
        return (self.base_domain,) if self.base_domain in self.domains else ()

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, in the order of targets, then of imaging groups, then of blocks."""
        groups = subsets(tuple(self.imaging))
        no_blocks: tuple[str, ...] = ()
        cells = []
        for key, target in self.targets.items():
            if target.domain == self.base_domain:
                choices = [(chosen, no_blocks) for chosen in groups if chosen]
            else:
                others = tuple(
                    d for d in self.domains if d not in (self.base_domain, target.domain)
                )
                choices = [
                    (chosen, (*self._base_block, *blocks))
                    for chosen in groups
                    for blocks in subsets(others)
                    if chosen or blocks or self._base_block
                ]
            cells += [Cell(key, self.inputs(chosen, blocks)) for chosen, blocks in choices]
        return tuple(cells)

    def blocks_of(self, target: str, least: bool = False) -> tuple[str, ...]:
        """List the blocks that a target may have among its inputs; none in the base domain.

        `least` gives as few as may be: the base block, or none where the grid has no such domain.
        """
        own = self.targets[target].domain
        if own == self.base_domain:
            return ()
        return self._base_block if least else tuple(d for d in self.domains if d != own)

    def fullest(self, target: str) -> Inputs:
        """Give the inputs that stand for a target: all imaging groups, every block it may have.

        The rule looks at inputs only, so that no cell is shown for having scored well.
        """
        return self.inputs(tuple(self.imaging), self.blocks_of(target))

    def imaging_alone(self, target: str) -> Inputs:
        """Give a target's inputs with all imaging groups and as few blocks as it may have.

        Outside the base domain the base block is there; within it they are `fullest`.
        """
        return self.inputs(tuple(self.imaging), self.blocks_of(target, least=True))

    def without_imaging(self, target: str) -> Inputs:
        """Give a target's inputs with every block it may have and no imaging.

        They are none at all in the base domain, where no cell has them.
        """
        return self.inputs((), self.blocks_of(target))

    def targets_of(self, domain: str) -> tuple[str, ...]:
        """Keys of a domain's targets, the traits of its block, in configured order."""
        return tuple(key for key, target in self.targets.items() if target.domain == domain)

    def term_of(self, group: str) -> str:
        """Name the term of an imaging group in models of its inputs: its first modality."""
        return next(iter(self.imaging[group]))

    def in_words(self) -> str:
        """Say what this grid has, and which of the names that were given it has not."""
        counts = [(len(self.targets), "target"), (len(self.domains), "domain")]
        counts += [(len(self.imaging), "imaging group"), (len(self.cells), "cell")]
        n = [f"{number:,} {what}{'s' * (number != 1)}" for number, what in counts]
        words = f"{n[0]} of {n[1]}, {n[2]} ({', '.join(self.modalities)}), {n[3]}."
        absent = f" Not in this grid: {', '.join(self.left_out)}." if self.left_out else ""
        return words + absent

    def inputs(self, groups: tuple[str, ...], blocks: tuple[str, ...]) -> Inputs:
        """Join imaging groups and blocks to inputs, parts and published name in canonical order.

        Raises
        ------
        InputError
            If a group or a block is not part of the grid.
        """
        unknown = [
            *(g for g in groups if g not in self.imaging),
            *(b for b in blocks if b not in self.domains),
        ]
        if unknown:
            raise InputError(
                f"Unknown inputs {unknown}: imaging groups are {list(self.imaging)}, "
                f"blocks are {list(self.domains)}."
            )
        groups = tuple(g for g in self.imaging if g in groups)
        blocks = tuple(b for b in self.domains if b in blocks)
        modalities = [m for g in groups for m in self.imaging[g].values()]
        parts = [m.name for m in sorted(modalities, key=lambda m: m.order)]
        if blocks:
            letters = " + ".join(sorted(self.domains[b].letter for b in blocks))
            parts.append(f"Non-imaging data ({letters})")
        return Inputs(groups, blocks, " + ".join(parts))

    def flags(self, inputs: Inputs) -> dict[str, bool]:
        """Which modalities and blocks are among the inputs: one entry a modality and a domain."""
        used = {m for g in inputs.groups for m in self.imaging[g]}
        return {m: m in used for m in self.modalities} | {
            d: d in inputs.blocks for d in self.domains
        }
