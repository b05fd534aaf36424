"""Settings that contradict each other, which else would be found after hours of training."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ukb_brain.errors import InputError
from ukb_brain.grid import Grid, subsets
from ukb_brain.imaging.bulk_index import TEXT_FIELDS
from ukb_brain.imaging.connectome import CONNECTOME_FIELDS
from ukb_brain.imaging.judging import MEASURED_IN, OF_FIELD
from ukb_brain.imaging.modalities import CONNECTIVITY, CONNECTOME, ImagingPreprocess
from ukb_brain.imaging.readers import READERS, stored_in
from ukb_brain.imaging.roi_series import ROI_FIELDS
from ukb_brain.imaging.time_series import SERIES_FIELDS
from ukb_brain.problems import Problem
from ukb_brain.statistics.claims import claims_of, names_unknown
from ukb_brain.tables.numbers import fields_of
from ukb_brain.training.settings import AMORTISED, DEDICATED, Modelling, Network

# Fields of edges between regions, by reader.
READ_BY = {
    CONNECTIVITY: (*SERIES_FIELDS, *TEXT_FIELDS, *ROI_FIELDS.values()),
    CONNECTOME: tuple(CONNECTOME_FIELDS),
}


def problems_of_modalities(imaging: ImagingPreprocess, grid: Grid) -> list[Problem]:
    """Find modalities that nothing can read, and imaging groups that join a vector with others."""
    remedy = f"give it one of the readers {', '.join(READERS)} there, or leave it out"
    problems = []
    for key in dict.fromkeys((*grid.modalities, *imaging.modalities)):
        record = imaging.modalities.get(key)
        reader = record.reader if record else ""
        if reader not in READERS:
            has = f"an unknown reader, {reader}," if reader else "no reader"
            what = f"modality {key} has {has} in imaging_preprocess.modalities"
            out = f" (--params grid.leave_out={key})" if key in grid.modalities else " (null)"
            problems.append(Problem("stop", what, remedy + out))
    problems += [
        Problem("stop", f"modality {key} {what}", f"{remedy} (imaging_preprocess.modalities.{key})")
        for key in (() if problems else grid.modalities)
        for what, remedy in _misfits(key, imaging)
    ]
    problems += [] if problems else _problems_of_limits(imaging, grid)
    vectors = () if problems else stored_in("vectors", imaging)
    for group, held in grid.imaging.items():
        if len(held) > 1 and {*held} & {*vectors}:
            what = f"imaging group {group} joins a vector to others: {', '.join(held)}"
            problems.append(Problem("stop", what, "make it a group of its own in grid.imaging"))
    return problems + _problems_of_fields(imaging.taking(grid.modalities), grid)


def _problems_of_limits(imaging: ImagingPreprocess, grid: Grid) -> list[Problem]:
    """Find limits on what is not measured of a modality, which would leave nobody out."""
    problems = []
    for key in grid.modalities:
        measured = MEASURED_IN[READERS[imaging.modalities[key].reader].store] | {
            *OF_FIELD.get(imaging.fields.get(key, 0), ())
        }
        for name in imaging.quality.limits.get(key, {}).keys() - measured:
            what = f"imaging_preprocess.quality.limits.{key}.{name} limits what {key} has not"
            remedy = f"take it out; {key} has {', '.join(sorted(measured))}"
            problems.append(Problem("stop", what, remedy))
    return problems


def problems_of_phases(by: str, phases: Mapping[int, Any]) -> list[Problem]:
    """Find scanners that are to be made alike by phases of which none is given."""
    if by != "phase" or phases:
        return []
    what = "modelling.harmonise.by is phase, and data_engineering.phases names none"
    remedy = (
        "name the days on which a site's scanner changed, or --params modelling.harmonise.by=site"
    )
    return [Problem("stop", what, remedy)]


def _problems_of_fields(imaging: ImagingPreprocess, grid: Grid) -> list[Problem]:
    """Find targets that would be read from themselves: of a field that an imaging group has."""
    problems = []
    for modality, fields in fields_of(imaging.numbers).items():
        for key, target in grid.targets.items():
            if both := {*target.fields} & {*fields}:
                what = f"target {key} is made of field {min(both)}, which is a number of {modality}"
                remedy = (
                    f"take it out of the fields of {modality}, or --params grid.leave_out={key}"
                )
                problems.append(Problem("stop", what, remedy))
    return problems


def _misfits(key: str, imaging: ImagingPreprocess) -> Iterator[tuple[str, str]]:
    """Find what a modality's record says that its reader cannot do, and how it could be."""
    record, field = imaging.modalities[key], imaging.fields.get(key)
    if (record.atlas or record.kind) and key not in imaging.series:
        said = "an atlas" if record.atlas else f"kind {record.kind}"
        yield (
            f"has {said}, and field {field} has no time series",
            "leave it out, or change the field",
        )
    if record.scale != "none" and record.reader != CONNECTOME:
        yield f"has scale {record.scale}, and is no structural connectome", "leave it out"
    if record.reader == CONNECTOME and not record.member:
        yield "names no matrix of the zip", "name it as its member"
    fields = READ_BY.get(record.reader)
    if fields is not None and field not in fields:
        listed = ", ".join(map(str, fields))
        yield f"is of field {field}, which reader {record.reader} does not read", f"one of {listed}"


def problems_of_map(wanted: Iterable[str], trained: Iterable[str]) -> list[Problem]:
    """Find that none of the strategies of ``reporting.strategy`` is trained."""
    there = list(trained)
    if set(wanted) & set(there):
        return []
    named = ", ".join(wanted)
    return problems_of_strategies({"reporting.strategy": [named]}, there)


def problems_of_strategies(
    wanted: Mapping[str, Iterable[str]], trained: Iterable[str]
) -> list[Problem]:
    """Find settings that name a strategy which is not trained, by strategies of each setting."""
    there = list(trained)
    absent = {
        setting: [name for name in names if name not in there] for setting, names in wanted.items()
    }
    return [
        Problem(
            "stop",
            f"{setting} names {', '.join(names)}, and modelling.strategies are {', '.join(there)}",
            f"name one of these in {setting}, or train it too",
        )
        for setting, names in absent.items()
        if names
    ]


def problems_of_claims(text: Mapping[str, Any], grid: Grid) -> list[Problem]:
    """Find claims that name what nobody knows, or raise `InputError` where one is malformed.

    What was taken out of the grid by name is no mistake: its claims are shown as not in this grid.
    """
    unknown = {name: names_unknown(claim, grid) for name, claim in claims_of(text).items()}
    return [
        Problem(
            "stop",
            f"claim {name!r} names {', '.join(odd)}, which is no target, domain or imaging group "
            "of the grid, nor taken out of it",
            "correct conf/base/parameters/claims.yml, or set the claim to null in your environment",
        )
        for name, odd in unknown.items()
        if odd
    ]


def problems_of_weights(
    modelling: Modelling, grid: Grid, imaging: ImagingPreprocess
) -> list[Problem]:
    """Find files that encoders are to start from and cannot, and names that no encoder has."""
    problems = []
    for kind, strategy in {"encoders": AMORTISED, "dedicated": DEDICATED}.items():
        network: Network = getattr(modelling, kind).network
        if not network.start or strategy not in modelling.strategies:
            continue
        # It takes torch along, which other runs' checks do without.
        from ukb_brain.training.network import check_start

        shapes = _shapes_of_encoders(network, kind == "dedicated", grid, imaging)
        for name in network.start:
            setting = f"modelling.{kind}.network.start.{name}"
            if name not in shapes:
                what = f"{setting} is of no encoder; there are {', '.join(shapes)}"
                problems.append(Problem("stop", what, "take it out, or name one of these"))
                continue
            try:
                check_start(network, name, shapes[name], setting)
            except InputError as error:
                problems.append(Problem("stop", str(error)))
    return problems


def _shapes_of_encoders(
    network: Network, single: bool, grid: Grid, imaging: ImagingPreprocess
) -> dict[str, tuple[int, ...] | None]:
    """Shapes of one person's input of all encoders that there may be; None is not known yet."""
    from ukb_brain.networks.fusion import TOGETHER
    from ukb_brain.training.inputs import TRAITS

    voxels = tuple(-(-size // network.pooling) for size in imaging.shape)
    vectors = {*stored_in("vectors", imaging)}
    volumes = {g: len(of) for g, of in grid.imaging.items() if not {*of} & vectors}
    shapes: dict[str, tuple[int, ...] | None] = dict.fromkeys(grid.imaging)
    shapes |= {group: (channels, *voxels) for group, channels in volumes.items()}
    if network.together:
        for some in subsets(tuple(volumes))[1:]:
            shapes[TOGETHER.join(some)] = (sum(volumes[g] for g in some), *voxels)
    # How many traits a cell has is its own.
    return shapes | ({TRAITS: None} if single else {})


def problems_of_pretraining(
    modelling: Modelling, grid: Grid, imaging: ImagingPreprocess
) -> list[Problem]:
    """Find that encoders are to fill in volumes of which there are none, or none would be left."""
    encoders = modelling.encoders
    if not encoders.pretrain.epochs or AMORTISED not in modelling.strategies:
        return []
    from ukb_brain.training.pretrain import require_cubes

    shapes = _shapes_of_encoders(encoders.network, False, grid, imaging).values()
    volumes = [shape for shape in shapes if shape is not None]
    if not volumes:
        what = "modelling.encoders.pretrain is for volumes, and the grid has none"
        return [Problem("stop", what, "--params modelling.encoders.pretrain.epochs=0")]
    try:
        require_cubes(volumes[0][1:], encoders.pretrain)
    except InputError as error:
        return [Problem("stop", str(error))]
    return []


def problems_of_refining(modelling: Modelling, grid: Grid) -> list[Problem]:
    """Find that domains are to be refined for longer than is allowed."""
    if not modelling.encoders.refine.rank or AMORTISED not in modelling.strategies:
        return []
    from ukb_brain.training.items import domains_of
    from ukb_brain.training.refine import require_affordable

    try:
        require_affordable(modelling.encoders, len(domains_of(grid)))
    except InputError as error:
        return [Problem("stop", str(error))]
    return []
