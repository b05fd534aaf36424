"""Networks that join the encoders of several inputs.

Volumes of several inputs may share one encoder, as in the study: its name is then theirs, joined
by `TOGETHER`, and it takes their channels one after the other.

Shapes: N people, G inputs (imaging groups, traits), E length of all embeddings together, T outputs.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from typing import cast

import torch
from torch import nn

from ukb_brain.errors import InputError
from ukb_brain.networks.study import study_head

TOGETHER = "+"


class LightHead(nn.Module):
    """A linear map beside a network of one hidden layer, with dropout: (N, E) to (N, T)."""

    def __init__(self, joined: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.line = nn.Linear(joined, outputs)
        self.network = nn.Sequential(
            nn.Linear(joined, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict (N, T) from embeddings (N, E)."""
        return self.line(x) + self.network(x)


HEADS: dict[str, Callable[[int, int, int, float], nn.Module]] = {
    "study": lambda joined, hidden, outputs, dropout: study_head(joined, outputs),
    "light": LightHead,
    "linear": lambda joined, hidden, outputs, dropout: nn.Sequential(
        nn.Dropout(dropout), nn.Linear(joined, outputs)
    ),
}


class FusedNetwork(nn.Module):
    """Encoders of some inputs, whose embeddings are laid side by side, and a head.

    Parameters
    ----------
    encoders : dict of str to Module
        By input, or by inputs joined with `TOGETHER`; each has its length in ``embedding``. There
        is none for an input that is not used.
    outputs : int
        One a target; for a binary target the study has 2.
    head : {"study", "light", "linear"}
        The study's of two hidden layers of 256, which has its own dropout; a linear map beside one
        hidden layer; or a linear map.
    hidden : int
        Units of the light head's hidden layer.
    dropout : float
        Within the light head; before the linear one.

    Attributes
    ----------
    inputs : tuple of str
        All inputs, in the order of the encoders.

    Raises
    ------
    InputError
        If there is no such head.
    """

    owner: torch.Tensor

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        outputs: int,
        head: str = "study",
        hidden: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise InputError(f"There is no head {head!r}; expected one of {', '.join(HEADS)}.")
        self.encoders = nn.ModuleDict(dict(encoders))
        lengths = [cast(int, encoder.embedding) for encoder in encoders.values()]
        self.names = [name.split(TOGETHER) for name in encoders]
        self.inputs = tuple(chain.from_iterable(self.names))
        # The encoder of each number of the embedding. It follows from the encoders: not saved.
        owner = torch.tensor([k for k, length in enumerate(lengths) for _ in range(length)])
        self.register_buffer("owner", owner, persistent=False)
        self.head = HEADS[head](sum(lengths), hidden, outputs, dropout)

    def forward(
        self, inputs: Mapping[str, torch.Tensor], used: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict (N, T), standardised values or logits, from inputs, people first.

        ``used`` is as in `predict`.
        """
        return self.predict(self.embed(inputs), used)

    def embed(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Encode every input, people first, as (N, E), in the order of the encoders."""
        encoded = []
        for names, encoder in zip(self.names, self.encoders.values(), strict=True):
            together = [inputs[name] for name in names]
            encoded.append(encoder(together[0] if len(names) == 1 else torch.cat(together, dim=1)))
        return torch.cat(encoded, dim=1)

    def predict(self, embeddings: torch.Tensor, used: torch.Tensor | None = None) -> torch.Tensor:
        """Predict (N, T) from the embeddings (N, E) of all inputs or of some.

        ``used`` (N, G) has 1 for inputs to use, in the order of `inputs`; the embeddings of
        encoders that have one not to use are replaced by zeros.
        """
        if used is not None:
            columns = used.split([len(names) for names in self.names], dim=1)
            usable = torch.stack([some.amin(dim=1) for some in columns], dim=1) > 0
            # Not a product: what is not finite would stay so.
            embeddings = torch.where(usable[:, self.owner], embeddings, 0.0)
        return self.head(embeddings)
