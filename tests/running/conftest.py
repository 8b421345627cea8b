"""What tests of doors start from."""

from collections.abc import Iterator

import pytest

from tests.running.doors import Installation, an_installation


@pytest.fixture(scope="module")
def installation(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Everything running but the door, once for a module: each test makes credentials of its own."""
    with an_installation(postgres, tmp_path_factory.mktemp("installation")) as running:
        yield running
