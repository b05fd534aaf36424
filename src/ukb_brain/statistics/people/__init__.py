"""Whom predictions serve: calibration, subgroups, participation, the brain-age gap."""
