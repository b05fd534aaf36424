"""What each kind of target is scored by: one list, which tables, kinds and the engine share."""

from ukb_brain.grid import Kind

# In the order of the performance table, each with its recommended interval, which was chosen by
# simulated coverage (`benchmarks/coverage.py`), not by what a run shows.
METRICS: dict[Kind, dict[str, str]] = {
    "binary": {
        "balanced_accuracy": "newcombe",
        "roc_auc": "delong",
        "average_precision": "expanded",
        "brier": "bca",
    },
    "continuous": {
        "r2": "bca",
        "pearson_r": "bca",
        "mae": "bca",
        "median_split_accuracy": "newcombe",
    },
}
RECOMMENDED = METRICS["binary"] | METRICS["continuous"]
# What skill is made of, and its label.
HEADLINE: dict[Kind, tuple[str, str]] = {"binary": ("roc_auc", "AUC"), "continuous": ("r2", "R²")}
