"""Thresholds and bounds for attention locality: NumPy calculators, and on demand the theorems behind them.

`import bounds` loads numpy alone; `bounds.THEOREMS` and `bounds.theorems` load sympy when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bounds import anchors, concentration, depth, dial, entropy, floors, gates, penalty, published, recruitment, rules
from bounds.anchors import *
from bounds.concentration import *
from bounds.depth import *
from bounds.dial import *
from bounds.entropy import *
from bounds.floors import *
from bounds.gates import *
from bounds.numbers.search import Solutions, Unreachable
from bounds.penalty import *
from bounds.published import *
from bounds.recruitment import *
from bounds.rigour.enclosed import Enclosed
from bounds.rules import *
from bounds.thresholds.design import Design, PenaltySetting, Setting, design

if TYPE_CHECKING:
    from bounds.theorems import THEOREMS as THEOREMS

__version__ = "0.2.0"

__all__ = ["Design", "Enclosed", "PenaltySetting", "Setting", "Solutions", "Unreachable", "design"]
__all__ += concentration.__all__
__all__ += entropy.__all__
__all__ += floors.__all__
__all__ += dial.__all__
__all__ += penalty.__all__
__all__ += anchors.__all__
__all__ += rules.__all__
__all__ += depth.__all__
__all__ += recruitment.__all__
__all__ += published.__all__
__all__ += gates.__all__


def __getattr__(name: str) -> Any:
    if name == "THEOREMS":
        from bounds.theorems import THEOREMS

        return THEOREMS
    raise AttributeError(f"module 'bounds' has no attribute {name!r}")
