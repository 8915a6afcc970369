import pytest
from fake_run import FakeRun, demo_config

from mindeye2.stages import tables


@pytest.fixture(scope="session")
def demo_job(tmp_path_factory):
    """Two variants, two subjects, two numbers of sessions; one metric was not computed."""
    return FakeRun(tmp_path_factory.mktemp("demo"), demo_config(), without=("inception",)).job()


@pytest.fixture(scope="session")
def demo_folder(demo_job):
    """What the stage wrote for it."""
    tables.run(demo_job)
    return demo_job.work
