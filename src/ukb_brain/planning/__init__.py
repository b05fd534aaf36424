"""What a run would cost: some of its real work, done on invented people."""

from ukb_brain.planning.case import Case
from ukb_brain.planning.foresee import foresee
from ukb_brain.planning.settings import Planning
from ukb_brain.planning.table import Plan, plan_table
from ukb_brain.planning.words import write_plan

__all__ = ["Case", "Plan", "Planning", "foresee", "plan_table", "write_plan"]
