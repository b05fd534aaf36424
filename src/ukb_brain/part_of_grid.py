"""Names given in YAML or on the command line, and the part of a grid that they choose."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

Described = Mapping[str, Any]


def names_of(given: Any) -> Any:
    """Read a list of names, which on the command line may be one text: ``age`` or ``age+sex``.

    Gives a tuple of str, each name once, in their order; what is neither text nor list as it is.
    """
    if isinstance(given, str):
        given = given.split("+")
    if not isinstance(given, list | tuple):
        return given
    texts = (name.strip() if isinstance(name, str) else name for name in given)
    return tuple(dict.fromkeys(name for name in texts if name != ""))


Names = Annotated[tuple[str, ...], BeforeValidator(names_of)]


def chosen_part(given: Described) -> dict[str, Any]:
    """Take out of a grid what its settings take out, and remember the names of that.

    Parameters
    ----------
    given : mapping
        ``targets``, ``domains``, ``imaging`` and ``offered`` (both modalities by group), of which
        an overlay may have set entries to None; ``also``, names of what is offered; ``leave_out``
        and ``only``, names of any part; and ``left_out``, from a grid that was chosen before.

    Returns
    -------
    dict
        The same, with what ``also`` names among ``imaging``, without what is taken out. ``only``
        looks at characteristics (targets and domains) and at images (imaging groups and
        modalities) apart: where one of a kind is named, no other of that kind stays. A domain goes
        with its last target, an imaging group with its last modality. ``left_out`` holds all names
        that are gone, sorted.

    Raises
    ------
    ValueError
        If a name is known to nobody, or nothing is left.
    """
    targets, domains = dict(given.get("targets") or {}), dict(given.get("domains") or {})
    imaging = {group: dict(held or {}) for group, held in (given.get("imaging") or {}).items()}
    also, offered = names_of(given.get("also") or ()), _offered(given)
    for group, held in _added(offered, also).items():
        imaging[group] = imaging.get(group, {}) | held
    known = _names(targets, domains, imaging) | {*(given.get("left_out") or ())}
    removed = {name for part in (targets, domains) for name, held in part.items() if held is None}
    removed |= {m for held in imaging.values() for m, described in held.items() if not described}
    only, leave_out = (names_of(given.get(key) or ()) for key in ("only", "leave_out"))
    modalities = ", ".join(m for held in imaging.values() for m in held)
    there = (
        f"imaging groups are {', '.join(imaging)}, of modalities {modalities}; domains are "
        f"{', '.join(domains)}; targets are {', '.join(targets)}"
    )
    for key, names in (("only", only), ("leave_out", leave_out)):
        unknown = [str(name) for name in names if name not in known]
        if unknown:
            hint = _nearest(unknown[0], known)
            if unknown[0] in _names({}, {}, offered):
                hint = f"; {unknown[0]} is offered: add it with grid.also"
            raise ValueError(f"grid.{key} names {', '.join(unknown)}; {there}{hint}")
    gone = removed | {*leave_out}

    def stays(name: str, whole: str, kind: set[str]) -> bool:
        named = kind & {*only}
        return not gone & {name, whole} and (not named or bool(named & {name, whole}))

    of_people = {*targets, *domains}
    of_images = {name for group, held in imaging.items() for name in (group, *held)}
    targets = {k: t for k, t in targets.items() if stays(k, _domain_of(t), of_people)}
    imaging = {
        group: {m: described for m, described in held.items() if stays(m, group, of_images)}
        for group, held in imaging.items()
    }
    imaging = {group: held for group, held in imaging.items() if held}
    used = {_domain_of(target) for target in targets.values()}
    domains = {key: domain for key, domain in domains.items() if key in used}
    for what, left in (("target", targets), ("imaging group", imaging)):
        if not left:
            raise ValueError(
                f"no {what} is left in the grid: grid.only, grid.leave_out and what is set to null "
                f"take all of them out; at least one {what} must stay"
            )
    left_out = tuple(sorted(known - _names(targets, domains, imaging)))
    parts = {"targets": targets, "domains": domains, "imaging": imaging, "left_out": left_out}
    asked = {"also": also, "only": only, "leave_out": leave_out}
    return {**given, **parts, **asked, "offered": offered}


def _offered(given: Described) -> dict[str, dict[str, Any]]:
    groups = (given.get("offered") or {}).items()
    held = {group: {m: d for m, d in (of or {}).items() if d} for group, of in groups}
    return {group: of for group, of in held.items() if of}


def _added(offered: Mapping[str, Described], also: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Pick of what is offered the modalities and whole groups that are named."""
    known = _names({}, {}, offered)
    unknown = [str(name) for name in also if name not in known]
    if unknown:
        there = ", ".join(f"{m} ({group})" for group, held in offered.items() for m in held)
        near = _nearest(unknown[0], known)
        raise ValueError(
            f"grid.also names {', '.join(unknown)}; modalities offered, by imaging group, are "
            f"{there or 'none'}{near}"
        )
    picked = {
        group: {m: d for m, d in held.items() if {group, m} & {*also}}
        for group, held in offered.items()
    }
    return {group: held for group, held in picked.items() if held}


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _names(targets: Described, domains: Described, imaging: Mapping[str, Described]) -> set[str]:
    return {*targets, *domains, *imaging, *(m for held in imaging.values() for m in held)}


def _domain_of(target: Any) -> str:
    held = target.get("domain") if isinstance(target, Mapping) else getattr(target, "domain", None)
    return str(held or "")
