"""Files that are there in full or not at all."""

import filecmp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial-"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a name to write to, in the same folder and with the same endings; rename it at the end.

    The folder is made where needed. After any error the new file is removed and ``path`` is as it
    was. What a killed process left is overwritten by the next. A file that already holds the same
    bytes is left alone, so running twice changes nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(PARTIAL + path.name)
    try:
        yield partial
        if path.is_file() and filecmp.cmp(partial, path, shallow=False):
            partial.unlink()
        else:
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
