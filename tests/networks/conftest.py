import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are slowed down by threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
