"""What a run would cost: some of its real work, done on invented people."""

from ukb_brain.planning.case import Case, Planning, parts_of
from ukb_brain.planning.foresee import foresee
from ukb_brain.planning.table import Plan, plan_table, write_plan

__all__ = ["Case", "Plan", "Planning", "foresee", "parts_of", "plan_table", "write_plan"]
