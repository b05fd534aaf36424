"""One network in training: its steps, its epochs, and everything that a later step depends on.

Randomness follows from the seed and the number of the epoch alone (order of people, masks, dropout,
augmentation), so a state that names its epoch holds all random states, on any device.
Shapes: N people of a batch, T targets.
"""

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ukb_brain.training.augment import Change, draw_change
from ukb_brain.training.bf16 import guard_convolutions
from ukb_brain.training.checkpoint import load_optimiser, optimiser_tensors
from ukb_brain.training.feed import CodedVolumes
from ukb_brain.training.settings import WIDE, Loop
from ukb_brain.training.tasks import Tasks

Rows = NDArray[np.int64]
Tensors = dict[str, torch.Tensor]
# What a network is fed, on the CPU: by name, and under `MASK` which of it may be used.
Inputs = Mapping[str, torch.Tensor | CodedVolumes]
MASK = "used"
# Dimensions of a batch of volumes: person, channel, and three of space.
VOLUMES = 5
# Batches that are read while one is computed.
AHEAD = 2


class Data(Protocol):
    """What a network is fed."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of one person's inputs, by name."""
        ...

    def read(self, rows: Rows, rng: np.random.Generator | None) -> Inputs:
        """Read inputs of some people.

        With a random generator the mask hides inputs at random; without one it hides none.
        """
        ...


def part_of(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Take some people's inputs, without copying."""
    return {
        name: held.part(start, stop) if isinstance(held, CodedVolumes) else held[start:stop]
        for name, held in inputs.items()
    }


def precision_of(settings: Loop, device: torch.device) -> torch.dtype:
    """Choose the type in which a network computes; ``auto`` leaves it to the device."""
    named = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if settings.precision != "auto":
        return named[settings.precision]
    if device.type == "cpu":
        # Twice as fast where the processor has it, and many times slower where it has not.
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class Trainer:
    """One network in training.

    The network is called with inputs by name and the mask, and gives what its tasks read. Its
    initial weights are the caller's; everything else that is drawn follows from the seed.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        tasks: Tasks,
        settings: Loop,
        device: torch.device,
        seed: int,
    ) -> None:
        self.settings, self.data, self.device, self.seed = settings, data, device, seed
        self.network = network.to(device)
        self.layout = torch.contiguous_format
        if settings.channels_last:
            self.layout = torch.channels_last_3d
            self.network = self.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # torch's stubs lack this call
        self.called = torch.compile(self.network) if settings.compile else self.network
        self.tasks = tasks.to(device)
        kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
        self.optimiser = kind(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay if settings.optimiser == "adamw" else 0.0,
            fused=device.type in ("cuda", "cpu"),
        )
        self.dtype = precision_of(settings, device)
        if device.type == "cpu" and self.dtype == torch.bfloat16:
            guard_convolutions(self.network)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.rate, self.step, self.pieces = 1.0, 0, 1
        self.waited = self.worked = 0.0

    # ---- one step -------------------------------------------------------------------------------

    def moved(self, inputs: Inputs) -> Tensors:
        """Put inputs that `Data.read` gave where the network is, in its layout."""
        moved, change = {}, None
        for name, given in inputs.items():
            if isinstance(given, CodedVolumes):
                held = given.values(self.device).float()
            else:
                held = given.to(self.device, non_blocking=True).float()
            if held.ndim == VOLUMES:
                if self.network.training and not self.settings.augment.nothing:
                    change = change or self._change(held)
                    held = change.applied(held)
                held = held.contiguous(memory_format=self.layout)
            moved[name] = held
        return moved

    def _change(self, volumes: torch.Tensor) -> Change:
        """Draw one for all volumes of a batch, which are of one grid."""
        n, _, x, y, z = volumes.shape
        return draw_change(n, (x, y, z), self.settings.augment, self.device)

    def forward(self, inputs: Inputs) -> torch.Tensor:
        """Compute outputs from inputs that `Data.read` gave; in float32 whatever the precision."""
        moved = self.moved(inputs)
        used = moved.pop(MASK)
        mixed = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype if mixed else None, enabled=mixed):
            return self.called(moved, used).float()

    def predict(self, inputs: Inputs) -> torch.Tensor:
        """Predict (N, T), standardised values or logits."""
        return self.tasks.read(self.forward(inputs))

    def in_batches(self, rows: Rows) -> Iterator[Rows]:
        """Divide people, the last batch being what is left."""
        size = self.settings.batch_size
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def placed(self, rows: Rows) -> torch.Tensor:
        """Put people's rows where the network is."""
        return torch.from_numpy(rows).to(self.device)

    def seen(self, inputs: Inputs) -> torch.Tensor:
        """Tell of whom (N,) the network sees anything, by 1 or 0."""
        # Only volumes are coded; the mask is a tensor.
        return cast(torch.Tensor, inputs[MASK]).amax(1).to(self.device)

    def _backward(self, inputs: Inputs, rows: Rows) -> float:
        """Gradients of a batch, in pieces where it does not fit into memory."""
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                return sum(self._piece(inputs, rows, *ends) for ends in self._ends(len(rows)))
            except torch.OutOfMemoryError:
                # Batch norm needs two people.
                if len(rows) // (2 * self.pieces) < 2:
                    raise
            # Only now is nothing left of the piece that failed: neither its graph nor the error,
            # whose traceback holds what its layers had computed.
            self.pieces *= 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _ends(self, people: int) -> list[tuple[int, int]]:
        """Where the pieces of a batch start and stop."""
        sizes = [len(some) for some in np.array_split(np.arange(people), self.pieces)]
        stops = np.cumsum(sizes).tolist()
        return [(stop - size, stop) for size, stop in zip(sizes, stops, strict=True) if size]

    def _piece(self, inputs: Inputs, rows: Rows, start: int, stop: int) -> float:
        part, some = part_of(inputs, start, stop), self.placed(rows[start:stop])
        sums, weights = self.tasks.losses(self.forward(part), some, self.seen(part))
        share = (stop - start) / len(rows)
        loss = sums.sum() / weights.sum().clamp(min=1) * share
        if self.settings.mean_square_penalty:
            loss = loss + self._penalty() * share
        self.scaler.scale(loss).backward()
        return float(loss.detach())

    def _penalty(self) -> torch.Tensor:
        plain = self.settings.mean_square_penalty
        wide = plain if self.settings.wide_penalty is None else self.settings.wide_penalty
        matrices = [weight for weight in self.network.parameters() if weight.ndim > 1]
        rates = (wide if w.ndim == 2 and w.shape[1] > WIDE else plain for w in matrices)
        each = [rate * w.square().mean() for rate, w in zip(rates, matrices, strict=True)]
        return torch.stack(each).sum()

    def _update(self, steps: int) -> None:
        s, share = self.settings, (self.step + 1) / steps
        scale = min(1.0, share / s.warm_up) if s.warm_up else 1.0
        if s.schedule == "cosine" and share > s.warm_up:
            scale = 0.5 * (1 + math.cos(math.pi * (share - s.warm_up) / (1 - s.warm_up)))
        for group in self.optimiser.param_groups:
            group["lr"] = s.learning_rate * self.rate * scale
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), s.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.step += 1
        # Early on the mean is over the steps there were, not over random weights.
        decay = min(s.ema, (1 + self.step) / (10 + self.step)) if s.ema else 0.0
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    # ---- one epoch ------------------------------------------------------------------------------

    def batches(
        self, rows: Rows, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[Inputs, Rows]]:
        """Read people batch by batch, the next ones while one is computed.

        In training, with the random generator of the epoch, what does not fill a batch waits for
        another epoch: batch norm.
        """
        chunks = list(self.in_batches(rows))
        if rng is not None and len(chunks[-1]) < len(chunks[0]):
            del chunks[-1]
        # One thread, so that random numbers are drawn in order.
        with ThreadPoolExecutor(1) as reader:
            waiting = iter(chunks)
            ahead = deque(reader.submit(self.data.read, c, rng) for c in islice(waiting, AHEAD))
            for chunk in chunks:
                started = time.perf_counter()
                inputs = ahead.popleft().result()
                self.waited += time.perf_counter() - started
                ahead.extend(reader.submit(self.data.read, c, rng) for c in islice(waiting, 1))
                yield inputs, chunk

    def run_epoch(self, rows: Rows, epoch: int, steps: int) -> float:
        """Train one epoch; the mean loss is not finite if any step's was not."""
        rng = np.random.default_rng([self.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        self.network.train()
        losses, started = [], time.perf_counter()
        for inputs, chunk in self.batches(self.tasks.drawn(rows, rng), rng):
            losses.append(self._backward(inputs, chunk))
            if not math.isfinite(losses[-1]):
                return math.nan
            self._update(steps)
        self.worked += time.perf_counter() - started
        finite = all(torch.isfinite(p).all() for p in self.network.parameters())
        return float(np.mean(losses)) if finite else math.nan

    @torch.no_grad()
    def evaluate(self, rows: Rows) -> float:
        """Mean over targets of the error on people the network is not trained on."""
        self.network.eval()
        sums = weights = torch.zeros(len(self.tasks.binary), device=self.device)
        for inputs, chunk in self.batches(rows):
            # A batch that training had to divide may not fit here either.
            for start, stop in self._ends(len(chunk)):
                part, some = part_of(inputs, start, stop), self.placed(chunk[start:stop])
                more = self.tasks.errors(self.predict(part), some, self.seen(part))
                sums, weights = sums + more[0], weights + more[1]
        known = weights > 0
        return float((sums[known] / weights[known]).mean()) if known.any() else math.nan

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the network has the running mean of its weights."""
        own = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    # ---- states ---------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensors]:
        """Everything that a later step depends on."""
        return {
            "network": {k: v.detach().clone() for k, v in self.network.state_dict().items()},
            "average": {k: v.clone() for k, v in self.average.items()},
            "optimiser": {k: v.clone() for k, v in optimiser_tensors(self.optimiser).items()},
        }

    def restore(self, tensors: dict[str, Tensors]) -> None:
        """Go back to what `tensors` gave."""
        self.network.load_state_dict(tensors["network"])
        self.average = {k: v.to(self.device).clone() for k, v in tensors["average"].items()}
        load_optimiser(self.optimiser, tensors.get("optimiser", {}))
