"""Kedro project settings (see docs.kedro.org, "Project settings")."""

from ukb_brain.configuration import LocalLastLoader
from ukb_brain.hooks import ProjectHooks
from ukb_brain.tracking import Tracking

HOOKS = (ProjectHooks(), Tracking())

# Earlier versions installed it, and where it is left it would open a store of its own.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)

# `conf/local` counts in every environment but the tests': see docs/architecture.md.
CONFIG_LOADER_CLASS = LocalLastLoader

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overlays single values, so nested keys are merged rather than replaced.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
