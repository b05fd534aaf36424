"""Kedro project settings (see docs.kedro.org, "Project settings")."""

from ukb_brain.hooks import ProjectHooks

HOOKS = (ProjectHooks(),)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overlays single values, so nested keys are merged rather than replaced.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
