"""What a run would cost, from a short measurement on the machine at hand."""

from ukb_brain.training.planning.case import Case
from ukb_brain.training.planning.measure import Rates, measure
from ukb_brain.training.planning.settings import Planning
from ukb_brain.training.planning.table import Plan, plan_table
from ukb_brain.training.planning.words import write_plan

__all__ = ["Case", "Plan", "Planning", "Rates", "measure", "plan_table", "write_plan"]
