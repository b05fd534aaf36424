"""The ledger: work items that are done once, tried again where they fail, and recorded."""

from ukb_brain.ledger.attempts import WorkItem
from ukb_brain.ledger.fingerprint import fingerprint_of
from ukb_brain.ledger.run import run_ledger

__all__ = ["WorkItem", "fingerprint_of", "run_ledger"]
