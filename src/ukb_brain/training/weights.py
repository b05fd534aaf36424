"""Weights from elsewhere: files of tensors that encoders start from, and such files of our own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from ukb_brain.atomic import atomic_path
from ukb_brain.errors import InputError
from ukb_brain.ledger.artifact import ARRAYS, read_model

Shape = tuple[int, ...]
# In a file of ours: fingerprint of the training people of the model that it is of.
LEARNT_FROM = "training_people"
# Names that are told of each side where none agrees.
TOLD = 3
REMEDY = "Give a .safetensors file of weights for this encoder (docs/modelling.md), or take it out."


@dataclass(frozen=True)
class Header:
    """What a file of weights says of itself: metadata, and shapes of tensors by name."""

    file: Path
    metadata: Mapping[str, str]
    shapes: Mapping[str, Shape]

    def named(self, encoder: str) -> dict[str, str]:
        """Names in the file by names of the encoder's own, which may stand behind ours of it."""
        prefix = prefix_of(encoder)
        return {name.removeprefix(prefix): name for name in self.shapes}


def prefix_of(encoder: str) -> str:
    """Begin the names of an encoder's weights in those of its network."""
    return f"encoders.{encoder}."


@contextmanager
def _opened(path: Path, setting: str) -> Iterator[None]:
    """Say in one line which setting names a file that cannot be read."""
    what = f"{setting} names {path}"
    try:
        if not path.is_file():
            raise InputError(f"{what}, and there is no such file. {REMEDY}")
        yield
    except SafetensorError as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{what}, which is not in safetensors: {why}. {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{what}, which cannot be read ({error.strerror}). {REMEDY}") from None


def digest(file: str | Path, setting: str) -> str:
    """Hash a file (SHA-256); `InputError` where there is none, which names the ``setting``."""
    path = Path(file)
    with _opened(path, setting), path.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def read_header(file: str | Path, setting: str) -> Header:
    """Read names and shapes; `InputError` where that cannot be, which names the ``setting``."""
    path = Path(file)
    with _opened(path, setting), safe_open(path, "pt") as opened:
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - no mapping
        return Header(path, opened.metadata() or {}, shapes)


def agreeing(
    encoder: nn.Module, header: Header, name: str, setting: str, *, by_shape: bool = True
) -> list[str]:
    """List parameters and buffers of an encoder that a file has too, by name and shape.

    Not ``by_shape``: by name alone, where the length of a vector is not known yet.

    Raises
    ------
    InputError
        If no parameter is among them.
    """
    own = {key: tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    named = header.named(name)
    there = {key: header.shapes[given] for key, given in named.items()}
    found = [key for key in own if key in there and (there[key] == own[key] or not by_shape)]
    if not {*found} & {key for key, _ in encoder.named_parameters()}:
        raise InputError(
            f"{setting} names {header.file}, and no parameter of the encoder agrees with it by "
            f"name and shape: the file has {_first(there)}; the encoder has {_first(own)}. {REMEDY}"
        )
    return found


def _first(shapes: Mapping[str, Shape]) -> str:
    told = [
        f"{name} ({' × '.join(map(str, shape)) or 'one number'})"
        for name, shape in list(shapes.items())[:TOLD]
    ]
    more = [f"{len(shapes) - TOLD:,} more"] if len(shapes) > TOLD else []
    return ", ".join([*told, *more]) or "nothing"


def check_finite(header: Header, names: list[str], encoder: str, setting: str) -> None:
    """Refuse weights that are not finite, among those that are to be taken."""
    named = header.named(encoder)
    with _opened(header.file, setting), safe_open(header.file, "pt") as opened:
        for name in names:
            tensor = opened.get_tensor(named[name])
            if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
                raise InputError(
                    f"{setting} names {header.file}, whose {named[name]} has numbers that are not "
                    f"finite. {REMEDY}"
                )


def start_encoders(encoders: nn.ModuleDict, files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Let encoders start from files, in place; what a file lacks keeps its random start.

    Returns
    -------
    dict of str to dict
        By encoder: name of the ``file``, its ``sha256`` and ``metadata``, and how many of the
        encoder's ``tensors`` and ``parameters`` were taken, of how many.

    Raises
    ------
    InputError
        If a file cannot be used.
    """
    return {
        name: _start(encoders[name], Path(file), name)
        for name, file in files.items()
        if name in encoders
    }


@torch.no_grad()
def _start(encoder: nn.Module, file: Path, name: str) -> dict[str, Any]:
    setting = f"network.start.{name}"
    header = read_header(file, setting)
    taken = agreeing(encoder, header, name, setting)
    check_finite(header, taken, name, setting)
    own, named = encoder.state_dict(), header.named(name)
    with safe_open(file, "pt") as opened:
        for key in taken:
            own[key].copy_(opened.get_tensor(named[key]))
    sizes = {key: parameter.numel() for key, parameter in encoder.named_parameters()}
    return {
        "file": file.name,
        "sha256": digest(file, setting),
        "metadata": dict(header.metadata),
        "tensors": len(taken),
        "of_tensors": len(own),
        "parameters": sum(sizes.get(key, 0) for key in taken),
        "of_parameters": sum(sizes.values()),
    }


def export_encoder(model: Path, encoder: str, file: Path) -> None:
    """Write an encoder of a trained network to a file that others can start from.

    It has the encoder's weights under its own names, and says of what model they are. They were
    fitted on people: the file is as restricted as the model is.

    Parameters
    ----------
    model : Path
        Folder of the model, such as ``data/06_models/encoders/fold0-seed0-without0``.
    encoder : str
        Such as ``structural``.
    file : Path
        To be written, or replaced.

    Raises
    ------
    InputError
        If there is no such model, or it has no such encoder.
    """
    prefix = f"weights/{prefix_of(encoder)}"
    card = read_model(model, keys=()).card
    with safe_open(model / ARRAYS, "np") as opened:
        every = list(opened.keys())
        arrays = {
            k.removeprefix(prefix): opened.get_tensor(k) for k in every if k.startswith(prefix)
        }
    if not arrays:
        parts = [k.split(".")[1] for k in every if k.startswith("weights/encoders.")]
        there = ", ".join(dict.fromkeys(parts)) or "none"
        raise InputError(f"The model in {model} has no encoder {encoder!r}; it has {there}.")
    about = {"made_by": "ukb_brain", "encoder": encoder}
    about |= {k: str(card[k]) for k in ("name", "hash", LEARNT_FROM) if k in card}
    with atomic_path(file) as part:
        save_file(arrays, part, metadata=about)
