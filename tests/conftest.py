import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).parents[1]
# Networks this small are slowed down by threads, the more so where tests run side by side. Read
# when torch and BLAS are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says something of what else the machine does.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


def limited(kilobytes):
    """Forbid a process to write larger files."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    return limit


def kedro(*arguments, root=None, env="test", largest_file_kb=None, **params):
    """Run Kedro as a user does, in a process of its own, on a data root of its own."""
    given = ({"data_root": root} if root else {}) | {
        k.replace("__", "."): v for k, v in params.items()
    }
    command = [str(Path(sys.executable).with_name("kedro")), "run", "--env", env, *arguments]
    if given:
        command += ["--params", ",".join(f"{key}={value}" for key, value in given.items())]
    return subprocess.run(
        command,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited(largest_file_kb) if largest_file_kb else None,
    )


def succeed(*arguments, **given):
    """Run Kedro and expect it to end well."""
    done = kedro(*arguments, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def run_kedro():
    return kedro


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Raw files of environment `test`, about 150 people at 8 mm."""
    root = tmp_path_factory.mktemp("cohort")
    succeed("--pipelines", "synthetic_cohort", root=root)
    return root


@pytest.fixture(scope="session")
def finished_run(cohort):
    """Data root of a finished run of every pipeline."""
    (cohort / "output.txt").write_text(succeed(root=cohort))
    return cohort


@pytest.fixture
def says(request):
    """What the test's mark `bad_input` says is told: the test holds the message to it."""
    return request.node.get_closest_marker("bad_input").kwargs["says"]


@pytest.fixture(scope="session")
def invented():
    """An invented cohort; to be copied before it is changed."""
    from modelling_cases import invented_cohort

    return invented_cohort()


@pytest.fixture(scope="session")
def fold(invented):
    """Its people."""
    from modelling_cases import people_of

    return people_of(invented)


@pytest.fixture(scope="session")
def stored(invented, tmp_path_factory):
    """A data root with its scans."""
    root = tmp_path_factory.mktemp("stored")
    invented.save_scans(root)
    return root
