"""The space of settings that tests of the search share."""

from pydantic import TypeAdapter

from ukb_brain.search.settings import Pruner, Space

RATE, WIDTH = "encoders.loop.learning_rate", "encoders.network.options.volume.width"
NEVER = Pruner(kind="none")
read_space = TypeAdapter(Space).validate_python
SPACE = read_space(
    {
        RATE: {"kind": "float", "low": 1e-4, "high": 1.0, "log": True},
        WIDTH: {"kind": "int", "low": 2, "high": 10, "step": 2},
        "encoders.loop.schedule": {"kind": "choice", "of": ["cosine", "constant"]},
    }
)
