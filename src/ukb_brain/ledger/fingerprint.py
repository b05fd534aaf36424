"""Hashes of settings, arrays and text that tell whether anything changed."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel


def fingerprint_of(*parts: Any) -> str:
    """Hash settings, arrays and text, the same in every process and version of Python.

    The hash has 64 hexadecimal digits (SHA-256). Parts are pydantic models, arrays of numbers or
    text, and what JSON knows, nested in any way; others are a TypeError. Kinds count: 1, 1.0,
    "1" and [1] all differ.
    """
    sha = hashlib.sha256()
    _feed(sha.update, parts)
    return sha.hexdigest()


def _feed(update: Callable[[bytes], None], part: Any) -> None:
    """Add the kind and the length before the content, so that no two parts read alike."""
    if isinstance(part, np.generic):
        part = part.item()
    if isinstance(part, BaseModel):
        _feed(update, part.model_dump(mode="json"))
    elif isinstance(part, np.ndarray):
        if part.dtype.hasobject:
            raise TypeError("an array of objects has no fingerprint")
        little = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
        update(f"array {little.dtype.str} {part.shape};".encode())
        update(little.tobytes())
    elif isinstance(part, Mapping):
        update(f"mapping {len(part)};".encode())
        for key in sorted(part):
            _feed(update, key)
            _feed(update, part[key])
    elif isinstance(part, list | tuple):
        update(f"sequence {len(part)};".encode())
        for inner in part:
            _feed(update, inner)
    else:
        kind, content = _plain(part)
        update(f"{kind} {len(content)};".encode())
        update(content)


def _plain(part: Any) -> tuple[str, bytes]:
    if isinstance(part, bytes):
        return "bytes", part
    if isinstance(part, str):
        return "text", str(part).encode()
    # A truth value is a whole number too, so it comes first.
    for kind in (bool, int, float):
        if isinstance(part, kind):
            return kind.__name__, repr(kind(part)).encode()
    if part is None:
        return "none", b""
    raise TypeError(f"{type(part).__name__} has no fingerprint")
