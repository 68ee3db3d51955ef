"""One browser for all tests of pages."""

from __future__ import annotations

import pytest
from browsers import chromium


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        yield found
