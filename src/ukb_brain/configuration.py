"""How configuration is loaded, and which of its names there are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from ukb_brain.problems import Problem

LOCAL, BASE = "local", "base"
# The tests' environment is the same on every machine.
WITHOUT_LOCAL = frozenset({LOCAL, "test"})
MERGED = ("parameters", "globals")
GIVEN = re.compile(r"runtime_params:([\w]+)")


class LocalLastLoader(OmegaConfigLoader):
    """Kedro's loader, which also merges ``conf/local`` into every environment but ``test``.

    Kedro merges the base with one environment. Where the data are (``--env ukb``) and what a
    machine is like (its queue, its scratch disk) are two things, and ``conf/local`` is for the
    second: it comes last, after the environment, and before ``--params``.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load what is asked for.

        Parameters
        ----------
        key : str
            Such as ``parameters``.

        Returns
        -------
        dict
        """
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


def local_files(conf: Path, env: str | None) -> list[Path]:
    """List files of ``conf/local`` that are in force.

    Parameters
    ----------
    conf : Path
        Folder of configuration.
    env : str, optional
        Environment of the run.

    Returns
    -------
    list of Path
    """
    if env in WITHOUT_LOCAL:
        return []
    return sorted(p for p in (conf / LOCAL).rglob("*.y*ml") if p.name.startswith(MERGED))


def names_in(paths: Iterable[Path]) -> dict[str, Path]:
    """Collect the top-level names of YAML files.

    Parameters
    ----------
    paths : iterable of Path
        Of files.

    Returns
    -------
    dict of str to Path
        By name, the file that has it; names that begin with ``_`` are for the files themselves.
    """
    names: dict[str, Path] = {}
    for path in paths:
        held = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if isinstance(held, dict):
            names |= {str(name): path for name in held if not str(name).startswith("_")}
    return names


def problems_of_names(conf: Path, env: str | None, given: Mapping[str, Any]) -> list[Problem]:
    """Find parameters that nothing reads.

    Parameters
    ----------
    conf : Path
        Folder of configuration.
    env : str, optional
        Environment of the run.
    given : dict
        Of ``--params``; only its first names are looked at, since typed parameters know the rest.

    Returns
    -------
    list of Problem
        One for each unknown name, of ``--params`` and of the environment's own files.
    """
    base = [*(conf / BASE).rglob("parameters*.yml"), conf / BASE / "globals.yml"]
    known = set(names_in(base))
    for path in (conf / BASE).rglob("*.yml"):
        known |= set(GIVEN.findall(path.read_text(encoding="utf-8")))
        known |= set(re.findall(r"globals:(\w+)", path.read_text(encoding="utf-8")))
    problems = [
        Problem(
            "stop", f"--params names {name!r}, and there is no such parameter", _near(name, known)
        )
        for name in given
        if name not in known
    ]
    own = [p for p in (conf / (env or LOCAL)).rglob("*.y*ml") if p.name.startswith(MERGED)]
    for name, path in names_in({*own, *local_files(conf, env)}).items():
        if name not in known:
            what = f"{path.relative_to(conf.parent)} sets {name!r}, and there is no such parameter"
            problems.append(Problem("stop", what, _near(name, known)))
    return problems


def _near(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"first names are {', '.join(sorted(known))}"
