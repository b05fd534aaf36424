"""The state of a training as one file, from which a killed one goes on."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ukb_brain.atomic import atomic_path

STATE = "state.safetensors"


def save_state(
    folder: Path, tensors: dict[str, dict[str, torch.Tensor]], progress: dict[str, Any]
) -> None:
    """Write a state under another name and rename it.

    Parameters
    ----------
    folder : Path
        Of the work item.
    tensors : dict of str to dict of str to torch.Tensor
        By what they are: ``network``, ``average``, ``best``, ``optimiser``.
    progress : dict
        Whatever else there is, as JSON: epoch, curves, rate, scaler.
    """
    flat = {
        f"{what}|{name}": tensor.detach().cpu().contiguous()
        for what, named in tensors.items()
        for name, tensor in named.items()
    }
    with atomic_path(folder / STATE) as part:
        save_file(flat, part, metadata={"progress": json.dumps(progress)})


def load_state(
    folder: Path,
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
    """Read tensors and progress as given to `save_state`; None where there is no state."""
    path = folder / STATE
    if not path.exists():
        return None
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
        for key in file.keys():  # noqa: SIM118 - the file is no mapping
            what, _, name = key.partition("|")
            # A copy: the file may be replaced while its memory is mapped.
            tensors.setdefault(what, {})[name] = file.get_tensor(key).clone()
    return tensors, progress


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Name the tensors of an optimiser's state, which holds only such, as Adam's does."""
    state = optimiser.state_dict()["state"]
    return {f"{k}|{name}": t for k, moments in state.items() for name, t in moments.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `optimiser_tensors` named, to an optimiser of the same parameters."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition("|")
        like = parameters[int(number)]
        # A copy: the optimiser changes its moments in place. In the parameter's own layout: fused
        # optimisers take the two memories number by number.
        held = torch.empty_like(like).copy_(tensor) if tensor.ndim else tensor.clone()
        state.setdefault(int(number), {})[name] = held
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
