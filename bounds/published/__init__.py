"""Published bounds beside ours, on the same inputs."""

from __future__ import annotations

from bounds.published import calculators
from bounds.published.calculators import *

__all__: list[str] = []
__all__ += calculators.__all__
