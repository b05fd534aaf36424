import inspect
import math

import pytest
import torch
from torch import nn

from ukb_brain.errors import InputError
from ukb_brain.networks import registry
from ukb_brain.networks.registry import build_encoder, load_extensions, names, register

# The study's edge of 3 takes the first grid, SFCN and ResNet the second; edges differ in both.
SMALL, LARGE = (2, 7, 8, 9), (2, 17, 18, 19)
SHAPES = {
    ("volume", "light"): SMALL,
    ("volume", "study"): SMALL,
    ("volume", "sfcn"): LARGE,
    ("volume", "resnet"): LARGE,
    ("volume", "convnext"): LARGE,
}
OPTIONS = {("volume", name): {"width": 4} for name in ("light", "resnet", "convnext")}
EVERY = [(kind, name) for kind in ("volume", "vector", "table") for name in names(kind)]
VOLUMES = [(kind, name) for kind, name in EVERY if kind == "volume"]
# Lengths of the embedding that a network fixes itself.
FIXED = {("volume", "study"): 128, ("vector", "study"): 128, ("table", "study"): 32}


def shape_of(kind, name):
    return SHAPES.get((kind, name), (10,))


def encoder_of(kind, name, shape=None):
    torch.manual_seed(0)
    shape = shape or shape_of(kind, name)
    return build_encoder(kind, name, shape, 5, 0.3, OPTIONS.get((kind, name), {})).double()


def inputs_of(kind, name, n=5):
    torch.manual_seed(1)
    return torch.randn(n, *shape_of(kind, name), dtype=torch.float64)


def trained_a_little(kind, name):
    """Running means have moved, so that batch norm is not the identity."""
    encoder = encoder_of(kind, name)
    encoder(2 * inputs_of(kind, name) + 1)
    return encoder.eval()


@pytest.fixture
def own_list(monkeypatch):
    """What a test registers is gone after it."""
    copied = {kind: dict(builders) for kind, builders in registry._BUILDERS.items()}
    monkeypatch.setattr(registry, "_BUILDERS", copied)


def one_line(excinfo):
    message = str(excinfo.value)
    assert "\n" not in message
    return message


def test_the_list_is_the_one_that_is_documented():
    assert names("volume") == ("light", "study", "sfcn", "resnet", "convnext")
    assert names("vector") == ("light", "study", "linear")
    assert names("table") == ("study", "linear")


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_an_encoder_gives_an_embedding_of_the_length_it_says(kind, name):
    encoder = encoder_of(kind, name)
    assert encoder.embedding == FIXED.get((kind, name), 5)
    assert encoder(inputs_of(kind, name)).shape == (5, encoder.embedding)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_parameter_learns_or_is_a_bias_that_batch_norm_takes_out(kind, name):
    encoder, x = encoder_of(kind, name), inputs_of(kind, name)

    def output():
        torch.manual_seed(2)
        return encoder(x)

    before = output()
    torch.manual_seed(3)
    (before * torch.randn_like(before)).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
    idle = {k: p for k, p in encoder.named_parameters() if p.grad.abs().max() < 1e-12}
    for key, parameter in idle.items():
        assert key.endswith("bias")
        with torch.no_grad():
            parameter += 0.5
        assert torch.allclose(output(), before, atol=1e-9)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_prediction_is_deterministic_and_training_is_not(kind, name):
    encoder, x = trained_a_little(kind, name), inputs_of(kind, name)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_people_of_a_batch_do_not_influence_each_other_once_trained(kind, name):
    encoder, x = trained_a_little(kind, name), inputs_of(kind, name)
    other = x.clone()
    other[1:] = 50
    torch.testing.assert_close(encoder(x)[0], encoder(other)[0], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(encoder(x)[1], encoder(other)[1])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("kind", "name"), VOLUMES)
def test_every_face_of_the_grid_counts(kind, name, axis):
    encoder, x = trained_a_little(kind, name), inputs_of(kind, name, 1)
    for end in (0, -1):
        other = x.clone()
        other.select(2 + axis, end).add_(5)
        assert not torch.allclose(encoder(x), encoder(other), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "name"), VOLUMES)
def test_memory_layout_does_not_matter(kind, name):
    encoder, x = trained_a_little(kind, name), inputs_of(kind, name)
    expected = encoder(x)
    encoder.to(memory_format=torch.channels_last_3d)
    given = x.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(encoder(given), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "edge"), [("study", 3), ("sfcn", 17), ("resnet", 17), ("convnext", 17)]
)
def test_a_grid_that_is_too_small_is_refused_with_the_smallest_edge(name, edge):
    assert (
        encoder_of("volume", name, (1, edge, edge, edge + 1))(
            torch.zeros(2, 1, edge, edge, edge + 1, dtype=torch.float64)
        )
        .isfinite()
        .all()
    )
    with pytest.raises(InputError, match=rf"{name}.*at least {edge} voxels.*{edge - 1} ×") as e:
        encoder_of("volume", name, (1, edge - 1, edge, edge))
    one_line(e)


def test_an_unknown_encoder_or_kind_is_refused_with_what_there_is():
    with pytest.raises(InputError, match="light, study, sfcn, resnet, convnext") as e:
        build_encoder("volume", "sfnc", SMALL, 5, 0.3, {})
    assert "'sfnc'" in one_line(e)
    with pytest.raises(InputError, match="volume, vector, table") as e:
        names("volumes")
    assert "'volumes'" in one_line(e)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("light", {"stems": 2}, ["'stems'", "stem, width"]),
        ("study", {"width": 2}, ["'width'", "no options"]),
        ("light", {"b": 2, "a": 2}, ["'a', 'b'"]),
        ("light", {"stem": 0}, ["'stem'", "0", "whole number"]),
        ("light", {"width": 2.5}, ["'width'", "2.5"]),
        ("resnet", {"width": math.inf}, ["inf"]),
        ("resnet", {"width": math.nan}, ["nan"]),
    ],
)
def test_an_option_that_an_encoder_cannot_have_is_refused(name, options, told):
    with pytest.raises(InputError) as e:
        build_encoder("volume", name, LARGE, 5, 0.3, options)
    assert all(part in one_line(e) for part in told)


def test_options_reach_the_encoder():
    narrow = build_encoder("volume", "resnet", LARGE, 5, 0.3, {"width": 2.0})
    assert narrow.last[1].in_features == 16
    cubes = build_encoder("volume", "light", SMALL, 5, 0.3, {"stem": 3, "width": 6})
    assert cubes.layers[0].weight.shape == (6, 2, 3, 3, 3)
    assert (
        build_encoder("vector", "light", (4,), 5, 0.3, {"hidden": 7}).network[1].out_features == 7
    )


class Mine(nn.Linear):
    def __init__(self, shape, embedding, scale):
        super().__init__(shape[0], embedding)
        self.embedding, self.scale = embedding, scale


def test_a_registered_encoder_is_chosen_like_the_others(own_list):
    @register("vector", "mine")
    def mine(shape, embedding, dropout, scale=1.5):
        return Mine(shape, embedding, scale)

    assert inspect.isfunction(mine)
    assert names("vector") == ("light", "study", "linear", "mine")
    assert build_encoder("vector", "mine", (4,), 3, 0.1, {"scale": 0.25}).scale == 0.25
    assert "mine" not in names("table")
    with pytest.raises(InputError, match=r"already.*'mine'") as e:
        register("vector", "mine")
    one_line(e)
    with pytest.raises(InputError, match=r"already.*'study'"):
        register("volume", "study")


def test_a_registration_that_could_not_be_used_is_refused(own_list):
    for builder in (
        lambda shape, dropout, embedding: None,
        lambda shape, embedding: None,
        lambda shape, embedding, dropout, width: None,
        lambda shape, embedding, dropout, kind="deep": None,
        lambda shape, embedding, dropout, flag=True: None,
        lambda shape, embedding, dropout, **options: None,
    ):
        with pytest.raises(InputError, match="options, each with a number") as e:
            register("table", "mine")(builder)
        one_line(e)
    assert "mine" not in names("table")
    with pytest.raises(InputError, match="volume, vector, table"):
        register("tables", "mine")
    register("table", "mine")(lambda shape, embedding, dropout: nn.Linear(shape[0], embedding))
    with pytest.raises(InputError, match=r"'mine'.*embedding"):
        build_encoder("table", "mine", (4,), 3, 0.1, {})


def test_a_module_of_the_users_adds_encoders(own_list, tmp_path, monkeypatch):
    (tmp_path / "my_extra_networks.py").write_text(
        "from torch import nn\n"
        "from ukb_brain.networks.registry import register\n\n"
        "@register('table', 'wide')\n"
        "def wide(shape, embedding, dropout, factor=2):\n"
        "    layer = nn.Linear(shape[0], factor * embedding)\n"
        "    layer.embedding = factor * embedding\n"
        "    return layer\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    load_extensions(["my_extra_networks"])
    load_extensions(["my_extra_networks"])  # workers and nodes may do so more than once
    assert build_encoder("table", "wide", (4,), 3, 0.1, {"factor": 4}).embedding == 12


@pytest.mark.parametrize("module", ["no_such_networks", "no_such.networks", "", ".near", "a-b"])
def test_a_module_that_is_not_there_is_refused_in_one_line(module):
    with pytest.raises(InputError, match=r"network\.extensions") as e:
        load_extensions([module])
    assert repr(module) in one_line(e)


def test_a_module_whose_own_import_is_missing_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "my_broken_networks.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"'my_broken_networks'.*'no_such_package'"):
        load_extensions(["my_broken_networks"])
