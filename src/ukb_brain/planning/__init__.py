"""What a run would cost, from a short measurement on the machine at hand."""

from ukb_brain.planning.case import Case
from ukb_brain.planning.measure import Rates, measure
from ukb_brain.planning.settings import Planning
from ukb_brain.planning.stored import NetworkRate, StoredRates, rates_from
from ukb_brain.planning.table import Plan, plan_table
from ukb_brain.planning.words import write_plan

__all__ = [
    "Case",
    "NetworkRate",
    "Plan",
    "Planning",
    "Rates",
    "StoredRates",
    "measure",
    "plan_table",
    "rates_from",
    "write_plan",
]
