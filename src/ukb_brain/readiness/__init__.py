"""What is there and what is missing, before anything runs."""

from ukb_brain.readiness.findings import SECTIONS, Finding, Readiness

__all__ = ["SECTIONS", "Finding", "Readiness"]
