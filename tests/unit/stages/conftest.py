"""One set of finished objects for all tests of a module."""

import pytest
from finished_objects import House


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture
def name(request):
    """A folder name of the test's own."""
    return request.node.name.translate(str.maketrans("[]/", "---"))
