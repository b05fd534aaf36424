"""The loop: how any network of this project is trained."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ukb_brain.training.checkpoint import load_state, save_state
from ukb_brain.training.settings import Loop
from ukb_brain.training.trainer import Rows, Tensors, Trainer

# After a loss that is not finite: back to the last good state with a rate so much lower, so often.
RETREATS = 2
LOWER_RATE = 0.3
# Told the epoch that ended, and the curves.
Report = Callable[[int, dict[str, list[float]]], None]


@dataclass
class Trained:
    """A trained network, or the reason why there is none.

    Attributes
    ----------
    state : dict of str to torch.Tensor
        Weights that were kept; empty if training failed.
    curves : dict of str to list of float
        By epoch: ``train`` and ``validation`` loss.
    best_epoch : int
        Of the weights that were kept; counted from 1.
    reason : str
        Why training failed; empty if it did not.
    wait_share : float
        Share of the time that steps waited for data.
    """

    state: Tensors
    curves: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    reason: str = ""
    wait_share: float = 0.0


def train(
    trainer: Trainer,
    fitted: Rows,
    validated: Rows,
    folder: Path | None = None,
    report: Report | None = None,
) -> Trained:
    """Train a network from its first epoch, or from where a killed process left it.

    Parameters
    ----------
    trainer : Trainer
        The network and what it learns.
    fitted, validated : ndarray of shape (n,)
        People it is trained on; people who say when to stop, and which epoch to keep.
    folder : Path, optional
        Where the state is kept after every epoch.
    report : callable, optional
        Told the epoch and the curves.
    """
    s = trainer.settings
    epochs = s.epochs_for(len(fitted))
    steps = max(1, epochs * max(1, len(fitted) // min(s.batch_size, len(fitted))))
    done: dict[str, Any] = {"epoch": 0, "step": 0, "rate": 1.0, "retreats": 0, "best": math.inf}
    done |= {"best_epoch": 0, "scaler": trainer.scaler.state_dict(), "pieces": 1}
    done["curves"] = {"train": [], "validation": []}
    good, best = trainer.tensors(), dict(trainer.average)
    found = load_state(folder) if folder is not None else None
    if found is not None:
        good, done = found
        best = good.pop("best")
    while True:
        trainer.restore(good)
        trainer.step, trainer.rate, trainer.pieces = done["step"], done["rate"], done["pieces"]
        trainer.scaler.load_state_dict(done["scaler"])
        while done["epoch"] < epochs and not _is_stale(done, s):
            loss = trainer.run_epoch(fitted, done["epoch"], steps)
            if not math.isfinite(loss):
                break
            with trainer.averaged():
                validation = trainer.evaluate(validated) if len(validated) else math.nan
            done["epoch"] += 1
            done["curves"]["train"].append(loss)
            done["curves"]["validation"].append(validation)
            if not len(validated) or validation < done["best"]:
                best = {k: v.clone() for k, v in trainer.average.items()}
                done |= {"best": validation, "best_epoch": done["epoch"]}
            done |= {"step": trainer.step, "pieces": trainer.pieces}
            done["scaler"] = trainer.scaler.state_dict()
            good = trainer.tensors()
            if folder is not None:
                save_state(folder, {**good, "best": best}, done)
            if report is not None:
                report(done["epoch"], done["curves"])
        else:
            break
        if done["retreats"] == RETREATS:
            reason = f"the loss was not finite in epoch {done['epoch'] + 1}, {RETREATS + 1} times"
            return Trained({}, done["curves"], 0, reason)
        done |= {"retreats": done["retreats"] + 1, "rate": done["rate"] * LOWER_RATE}
    if not done["best_epoch"]:
        return Trained({}, done["curves"], 0, "no epoch had a finite validation loss")
    share = trainer.waited / trainer.worked if trainer.worked else 0.0
    return Trained(best, done["curves"], done["best_epoch"], "", share)


def _is_stale(done: dict[str, Any], settings: Loop) -> bool:
    return bool(settings.patience) and done["epoch"] - done["best_epoch"] >= settings.patience
