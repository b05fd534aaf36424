import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from ukb_brain.training import loop
from ukb_brain.training.checkpoint import STATE, load_state
from ukb_brain.training.loop import train
from ukb_brain.training.settings import Augment, Loop
from ukb_brain.training.soft_bins import outputs_for
from ukb_brain.training.tasks import Tasks
from ukb_brain.training.trainer import MASK, Trainer

N, CPU = 60, torch.device("cpu")
FITTED, VALIDATED = np.arange(40), np.arange(40, 60)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 6)).astype(np.float32)
TARGETS = {
    "sex": (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(float),
    "age": 60 + 5 * X[:, 1] + RNG.normal(size=N),
}
BINARY = {"sex": True, "age": False}


class Vectors:
    """Two inputs of three numbers; the mask hides one of them at random in training."""

    def read(self, rows, rng):
        used = np.ones((len(rows), 2), dtype=np.float32)
        if rng is not None:
            used[np.arange(len(rows)), rng.integers(0, 3, len(rows)) % 2] = 0
        x = torch.from_numpy(X[rows])
        return {"a": x[:, :3], "b": x[:, 3:], MASK: torch.from_numpy(used)}


class Net(nn.Module):
    def __init__(self, outputs=2):
        super().__init__()
        self.a = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.b = nn.Linear(3, 8)
        self.out = nn.Linear(8, outputs)

    def forward(self, inputs, used):
        return self.out(self.a(inputs["a"]) * used[:, :1] + self.b(inputs["b"]) * used[:, 1:])


def trainer(seed=3, network=None, data=None, targets=TARGETS, **changes):
    settings = Loop(**({"epochs": 4, "batch_size": 8, "learning_rate": 0.01} | changes))
    fitted = np.isin(np.arange(N), FITTED)
    tasks = Tasks(targets, BINARY, fitted, settings)
    torch.manual_seed(seed)
    network = network or Net(outputs_for(BINARY.values(), settings.bins))
    return Trainer(network, data or Vectors(), tasks, settings, CPU, seed)


def state_of(trained):
    return {name: tensor.numpy().tobytes() for name, tensor in trained.state.items()}


def test_the_network_learns_and_the_curves_are_kept():
    trained = train(trainer(epochs=30), FITTED, VALIDATED)
    assert len(trained.curves["train"]) == len(trained.curves["validation"]) == 30
    assert trained.curves["validation"][-1] < 0.7 * trained.curves["validation"][0]
    assert trained.reason == ""


def test_few_people_are_trained_on_until_there_are_enough_steps():
    # Five steps an epoch.
    trained = train(trainer(epochs=4, least_steps=33), FITTED, VALIDATED)
    assert len(trained.curves["train"]) == 7


def test_a_seed_decides_everything():
    one, two = (train(trainer(), FITTED, VALIDATED) for _ in range(2))
    assert state_of(one) == state_of(two) and one.curves == two.curves
    assert state_of(train(trainer(seed=4), FITTED, VALIDATED)) != state_of(one)


def test_a_network_with_bins_learns_as_one_without():
    curves = [
        train(trainer(epochs=60, bins=bins), FITTED, VALIDATED).curves["validation"]
        for bins in (0, 20)
    ]
    # Of validation people the same error is named.
    assert min(curves[1]) < 0.7 * curves[1][0]
    assert min(curves[1]) == pytest.approx(min(curves[0]), abs=0.25)


@pytest.mark.parametrize(("ema", "bins"), [(0.0, 0), (0.9, 0), (0.9, 20)])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_training_that_was_stopped_ends_as_one_left_alone(tmp_path, stop, ema, bins):
    class Stopped(Exception):
        pass

    def interrupt(epoch, curves):
        if epoch == stop:
            raise Stopped

    given = {"ema": ema, "bins": bins}
    whole = train(trainer(**given), FITTED, VALIDATED)
    with pytest.raises(Stopped):
        train(trainer(**given), FITTED, VALIDATED, tmp_path, interrupt)
    # What a killed step left of the next epoch is nobody's concern: another network goes on.
    gone_on = train(trainer(**given), FITTED, VALIDATED, tmp_path)
    assert state_of(gone_on) == state_of(whole)
    assert gone_on.curves == whole.curves


def test_stopping_keeps_the_best_epoch_by_validation_people_alone():
    shuffled = {
        k: np.where(np.isin(np.arange(N), VALIDATED), v[::-1], v) for k, v in TARGETS.items()
    }
    settings = {"epochs": 60, "patience": 5, "learning_rate": 0.05}
    trained = train(trainer(targets=shuffled, **settings), FITTED, VALIDATED)
    curve = trained.curves["validation"]
    assert len(curve) < 60
    assert trained.best_epoch == int(np.argmin(curve)) + 1 == len(curve) - 5
    # Test people (everybody else) decide nothing.
    kept = state_of(trained)
    again = train(trainer(targets=shuffled, **settings), FITTED, VALIDATED)
    assert state_of(again) == kept


def test_without_patience_the_best_epoch_is_kept_after_the_last():
    trained = train(trainer(epochs=40, learning_rate=0.05), FITTED, VALIDATED)
    curve = trained.curves["validation"]
    assert len(curve) == 40
    assert trained.best_epoch == int(np.argmin(curve)) + 1 < 40
    alone = train(trainer(epochs=4), FITTED, VALIDATED[:0])
    assert alone.best_epoch == 4 and alone.reason == ""


def test_the_running_mean_is_what_is_kept():
    kept = trainer(ema=0.99)
    trained = train(kept, FITTED, VALIDATED)
    last = kept.network.state_dict()
    assert any((trained.state[name] != last[name]).any() for name in trained.state)


class Breaks(Net):
    """Its loss is not finite in some steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.calls = steps, 0

    def forward(self, inputs, used):
        if self.training:
            self.calls += 1
        scale = math.nan if self.training and self.calls in self.steps else 1.0
        return super().forward(inputs, used) * scale


def test_a_loss_that_is_not_finite_goes_back_with_a_lower_rate():
    broken = trainer(network=Breaks({7}))
    trained = train(broken, FITTED, VALIDATED)
    assert trained.reason == "" and len(trained.curves["train"]) == 4
    assert broken.rate == pytest.approx(loop.LOWER_RATE)
    # The first epoch has five steps: it is not repeated, the second is.
    assert broken.network.calls == 5 + 2 + 3 * 5


def test_a_loss_that_stays_so_is_given_up_with_a_reason():
    broken = Breaks(set(range(1000)))
    trained = train(trainer(network=broken), FITTED, VALIDATED)
    assert trained.state == {} and "not finite in epoch 1, 3 times" in trained.reason
    assert broken.calls == loop.RETREATS + 1


def test_a_divergence_in_the_very_last_step_is_noticed():
    diverges = trainer(epochs=1)
    step = diverges.scaler.step

    def last(optimiser):
        step(optimiser)
        if diverges.step % 5 == 4:
            next(diverges.network.parameters()).data.fill_(math.nan)

    diverges.scaler.step = last
    assert "not finite" in train(diverges, FITTED, VALIDATED).reason


class Full(Net):
    """Holds no more than some people."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, inputs, used):
        if self.training:
            self.seen.append(len(used))
            if len(used) > self.most:
                raise torch.OutOfMemoryError
        return super().forward(inputs, used)


def test_out_of_memory_halves_the_batch_and_accumulates():
    full = Full(3)
    trained = train(trainer(network=full, epochs=1), FITTED, VALIDATED)
    assert trained.reason == ""
    assert full.seen == [8, 4] + [2] * 20


def test_validation_takes_the_pieces_that_training_had_to_take():
    full, whole = trainer(network=Full(3)), trainer()
    full.run_epoch(FITTED, 0, 5)
    whole.run_epoch(FITTED, 0, 5)
    whole.network.load_state_dict(full.network.state_dict())
    full.network.register_forward_pre_hook(lambda _, given: full.network.seen.append(len(given[1])))
    full.network.seen = []
    expected = whole.evaluate(VALIDATED)
    assert full.evaluate(VALIDATED) == pytest.approx(expected, rel=1e-5)
    assert max(full.network.seen) == 2


def test_nothing_of_a_piece_that_failed_is_kept_when_it_is_tried_again():
    class Backward(torch.autograd.Function):
        """Memory runs out on the way back, when everything of the way forward is held."""

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if len(gradient) > 4:
                raise torch.OutOfMemoryError
            return gradient

    class Holds(Net):
        held, alive = None, ()

        def forward(self, inputs, used):
            self.alive += (self.held is not None and self.held() is not None,)
            x = Backward.apply(super().forward(inputs, used))
            self.held = weakref.ref(x.grad_fn)
            return x

    holds = trainer(network=Holds())
    holds._backward(Vectors().read(FITTED[:8], None), FITTED[:8])
    assert (holds.pieces, holds.network.alive) == (2, (False, False, False))


def test_out_of_memory_with_two_people_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        train(trainer(network=Full(1)), FITTED, VALIDATED)


def test_accumulated_gradients_are_those_of_the_batch():
    class Plain(Net):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 8)

    whole, pieces = (trainer(network=Plain(), schedule="constant") for _ in range(2))
    pieces.network.load_state_dict(whole.network.state_dict())
    pieces.pieces = 4
    rows = FITTED[:8]
    inputs = Vectors().read(rows, None)
    for each in (whole, pieces):
        each._backward(inputs, rows)
    # Classes are weighted, so pieces with other shares of them differ a little.
    for one, two in zip(whole.network.parameters(), pieces.network.parameters(), strict=True):
        cosine = torch.nn.functional.cosine_similarity(one.grad.ravel(), two.grad.ravel(), 0)
        assert cosine > 0.95


def test_the_rate_warms_up_and_falls_to_nothing():
    watched, rates = trainer(epochs=4, warm_up=0.25), []
    step = watched.scaler.step

    def look(optimiser):
        rates.append(optimiser.param_groups[0]["lr"])
        step(optimiser)

    watched.scaler.step = look
    train(watched, FITTED, VALIDATED)
    assert len(rates) == 20
    assert np.argmax(rates) == 4 and rates[4] == pytest.approx(0.01)
    assert (np.diff(rates[:5]) > 0).all() and (np.diff(rates[4:]) < 0).all()
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_state_holds_tensors_and_json_only(tmp_path):
    train(trainer(ema=0.9), FITTED, VALIDATED, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    tensors, progress = load_state(tmp_path)
    assert set(tensors) == {"network", "average", "best", "optimiser"}
    assert progress["epoch"] == 4


def test_precision_bf16_learns_too():
    trained = train(trainer(epochs=30, precision="bf16"), FITTED, VALIDATED)
    assert trained.curves["validation"][-1] < 0.7 * trained.curves["validation"][0]


def test_the_mean_square_penalty_shrinks_weights():
    free, held = (
        train(trainer(epochs=20, mean_square_penalty=p), FITTED, VALIDATED).state
        for p in (0.0, 50.0)
    )
    assert held["b.weight"].norm() < 0.5 * free["b.weight"].norm()


def test_volumes_are_changed_in_training_only():
    seen = []

    class Volumes(Vectors):
        def read(self, rows, rng):
            # A brain in the middle, which is where noise is added.
            x = torch.nn.functional.pad(torch.ones(len(rows), 1, 2, 3, 4), [1] * 6)
            return {"a": x, MASK: torch.ones(len(rows), 1)}

    class Look(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(1, 2)

        def forward(self, inputs, used):
            seen.append((self.training, set(inputs["a"].unique().tolist()) != {0, 1}))
            return self.out(inputs["a"].mean((1, 2, 3, 4))[:, None])

    noisy = trainer(network=Look(), data=Volumes(), epochs=1, augment=Augment(noise=0.1))
    train(noisy, FITTED, VALIDATED)
    assert set(seen) == {(True, True), (False, False)}
