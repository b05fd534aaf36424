import pytest
from modelling_cases import invented_cohort, people_of


@pytest.fixture(scope="session")
def invented():
    """An invented cohort; to be copied before it is changed."""
    return invented_cohort()


@pytest.fixture(scope="session")
def fold(invented):
    """Its people."""
    return people_of(invented)


@pytest.fixture(scope="session")
def stored(invented, tmp_path_factory):
    """A data root with its scans."""
    root = tmp_path_factory.mktemp("stored")
    invented.save_scans(root)
    return root
