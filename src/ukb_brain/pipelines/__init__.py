"""Pipelines: each wires thin nodes; the science sits in the library packages."""
