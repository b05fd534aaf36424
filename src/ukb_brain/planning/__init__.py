"""What a run would cost: some of its real work, done on invented people."""

from ukb_brain.planning.case import Case, Planning, parts_of
from ukb_brain.planning.foresee import foresee

__all__ = ["Case", "Planning", "foresee", "parts_of"]
