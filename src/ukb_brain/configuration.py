"""How configuration is loaded, and which of its names there are."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from kedro.config import AbstractConfigLoader, OmegaConfigLoader
from omegaconf import OmegaConf

from ukb_brain.problems import Problem

LOCAL, BASE = "local", "base"
# The tests' environment is the same on every machine.
WITHOUT_LOCAL = frozenset({LOCAL, "test"})
MERGED = ("parameters", "globals")
# Kedro looks up what the base asks of these before it merges another folder, which comes too late.
TOO_LATE = {
    "preset": "set it in a globals.yml there, or by --params preset=…",
    "presets": "set there what is to differ by its own name, such as modelling.encoders",
}
# What YAML asks of `--params` and of the globals.
ASKED = re.compile(r"(?:runtime_params|globals):(\w+)")


class LocalLastLoader(OmegaConfigLoader):
    """Kedro's loader, which also merges ``conf/local`` into every environment but ``test``.

    Kedro merges the base with one environment. Where the data are (``--env ukb``) and what a
    machine is like (its queue, its scratch disk) are two things, and ``conf/local`` is for the
    second: it comes last, after the environment, and before ``--params``.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load what is asked for, such as ``parameters``."""
        config = super().__getitem__(key)
        folder = Path(self.conf_source) / LOCAL
        run_env = self.env or self.default_run_env
        if key in self or key not in MERGED or run_env in WITHOUT_LOCAL or not folder.is_dir():
            return config
        local = self.load_and_merge_dir_config(
            str(folder), [*self.config_patterns[key]], key, set()
        )
        merged = OmegaConf.merge(OmegaConf.create(config), OmegaConf.create(local))
        return cast(dict[str, Any], OmegaConf.to_container(merged))


def globals_of(loader: AbstractConfigLoader) -> dict[str, Any]:
    """Read the globals, and what ``--params`` says instead."""
    return {**loader["globals"], **(loader.runtime_params or {})}


def local_files(conf: Path, env: str | None) -> list[Path]:
    """List files of ``conf/local`` that are in force in an environment."""
    return [] if env in WITHOUT_LOCAL else sorted(_merged_files(conf / LOCAL))


def _merged_files(folder: Path) -> Iterable[Path]:
    return (p for p in folder.rglob("*.y*ml") if p.name.startswith(MERGED))


def names_in(paths: Iterable[Path]) -> dict[str, Path]:
    """Collect the top-level names of YAML files, each with the file that has it.

    Names that begin with ``_`` are for the files themselves, and left out.
    """
    names: dict[str, Path] = {}
    for path in paths:
        held = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if isinstance(held, dict):
            names |= {str(name): path for name in held if not str(name).startswith("_")}
    return names


def problems_of_names(conf: Path, env: str | None, given: Mapping[str, Any]) -> list[Problem]:
    """Find parameters that nothing reads, in the environment's own files and in ``--params``.

    Nor does anything read presets that are set beside the base.

    Parameters
    ----------
    conf : Path
        Folder of configuration.
    env : str, optional
        Environment of the run.
    given : dict
        Of ``--params``; only its first names are looked at, since typed parameters know the rest.
    """
    base = [*(conf / BASE).rglob("parameters*.yml"), conf / BASE / "globals.yml"]
    known = set(names_in(base))
    for path in (conf / BASE).rglob("*.yml"):
        known |= set(ASKED.findall(path.read_text(encoding="utf-8")))
    files = {*_merged_files(conf / (env or LOCAL)), *local_files(conf, env)}

    def sets(paths: Iterable[Path]) -> dict[str, str]:
        named = names_in(paths).items()
        return {name: f"{path.relative_to(conf.parent)} sets {name!r}" for name, path in named}

    found = [(name, f"--params names {name!r}") for name in given] + [*sets(files).items()]
    late = sets(path for path in files if path.name.startswith("param"))
    return [
        Problem("stop", f"{what}, and there is no such parameter", _near(name, known))
        for name, what in found
        if name not in known
    ] + [
        Problem("stop", f"{what}, which changes no size from there", TOO_LATE[name])
        for name, what in late.items()
        if name in TOO_LATE
    ]


def _near(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"first names are {', '.join(sorted(known))}"
