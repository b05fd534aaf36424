"""Most memory that a piece of work takes."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import torch

HIGH_WATER, FORGET = "VmHWM:", "5"


def forget_peak() -> None:
    """Let the peak begin anew, where the system can (Linux)."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    forget = Path("/proc/self/clear_refs")
    if forget.exists():
        # What was freed is given back, or it would hide what is taken next.
        if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
            library.malloc_trim(0)
        forget.write_text(FORGET)


def peak_memory() -> dict[str, float]:
    """Bytes since `forget_peak`: of this process as a whole, and what it took of a CUDA card."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(row for row in status.read_text().splitlines() if row.startswith(HIGH_WATER))
        process = int(line.split()[1]) * 1024.0
    else:
        process = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    card = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_card = float(torch.cuda.max_memory_allocated()) if card else 0.0
    return {"process_bytes": process, "device_bytes": on_card}
