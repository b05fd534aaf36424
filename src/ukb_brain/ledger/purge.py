"""Erasing people who withdrew from everything that earlier runs made."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ukb_brain.atomic import PARTIAL
from ukb_brain.imaging.store import open_store, refuse_earlier
from ukb_brain.ledger.artifact import ARRAYS, CARD, COMPLETE, ModelFolder
from ukb_brain.tables import purge
from ukb_brain.tables.splits import training_fingerprints

MODELS, SPLITS, INDEX = "06_models", Path("03_primary/splits.parquet"), "bulk_index.parquet"
# All other models are of the map: fitted on all training people of a fold, which these are not.
OF_OTHERS = ("evidence", "search")
# Pages in this folder show single people.
PICTURES = "03_primary"
# Losses of all trials, averaged over people: no model, and nobody's row.
DATABASES = {".db"}


def erase_people(root: Path, gone: frozenset[int]) -> pd.DataFrame:
    """Erase people from what earlier runs made under a data root; raw files are left alone.

    Models go first and the tables that say who took part last, so that an erasure that was
    interrupted does the rest when it is asked for again. A negative eid in a table stands for
    somebody who withdrew too. Gives ``what, n``: counts, and nobody's number.
    """
    for folder in purge.made_folders(root):
        refuse_earlier(folder)
    done: Counter[str] = Counter()
    files = list(purge.made_files(root))
    tables = [path for path in files if path.suffix in purge.TABLES and not _is_scrap(path)]
    hit = [path for path in tables if purge.leavers(purge.people_of(path), gone).any()]
    stores = [
        open_store(path)
        for folder in purge.made_folders(root)
        for path in sorted(folder.rglob(f"*{purge.STORE}"))
    ]
    took_part = any(path.name != INDEX for path in hit) or any(
        gone & store.eids() for store in stores
    )
    if gone and (took_part or _is_of_others(root)):
        done["models, which the next run fits anew"] = erase_models(root / MODELS)
        done["tables that were fitted, which the next run makes anew"] = _remove(
            path for path in tables if purge.fitted_on(path)
        )
    elif gone:
        # No table says whom these were fitted on: parts of the training people of any earlier run.
        done["models of evidence and search, which are made anew where they are asked for"] = sum(
            erase_models(root / MODELS / kind) for kind in OF_OTHERS
        )
    if took_part:
        # A picture tells nobody's number.
        done["pages with pictures of scans"] += _remove(
            path for path in files if path.suffix == ".html" and path.parent.name == PICTURES
        )
    for store in stores:
        done["scans"] += sum(store.erase(eid) for eid in sorted(gone & store.eids()))
    done["files that were half-written"] = _remove(path for path in files if _is_scrap(path))
    for path in files:
        if not path.exists():
            continue
        if purge.names_somebody(path.name, gone):
            path.unlink()
            done["files named after them"] += 1
        elif path.suffix == ".parquet" or path in hit:
            rows = purge.erase_rows(path, gone)
            done["tables"] += rows > 0
            done["rows"] += rows
        else:
            done["texts and databases that named them"] += purge.erase_numbers(path, gone)
    return pd.DataFrame(sorted((+done).items()), columns=["what", "n"])


def erase_models(folder: Path) -> int:
    """Remove every model, with unfinished work on it, and count those that were whole."""
    # Their cards first: a model without one counts as not there.
    cards = list(folder.rglob(CARD))
    for path in [*folder.rglob(COMPLETE), *cards, *folder.rglob(ARRAYS)]:
        path.unlink(missing_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix not in DATABASES:
            path.unlink()
    return len(cards)


def _is_scrap(path: Path) -> bool:
    return path.name.startswith(PARTIAL)


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        removed += path.exists()
        path.unlink(missing_ok=True)
    return removed


def _is_of_others(root: Path) -> bool:
    """Whether models were fitted on other people than those who are training people now."""
    if not (root / SPLITS).exists():
        return False
    now = set(training_fingerprints(pd.read_parquet(root / SPLITS)).values())
    of_map = [home for home in (root / MODELS).glob("*") if home.name not in OF_OTHERS]
    cards = [card for home in of_map for card in ModelFolder(home).cards().values()]
    return any(card.get("training_people") not in now for card in cards)
