"""Kedro datasets: UK Biobank's files, stores, tables written whole, figures and models."""
