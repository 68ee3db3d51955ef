"""Shapes in signatures: `Float[Tensor, "S B T K"]` where jaxtyping is installed, the plain type where it is not.

S settings, L layers, H heads, T queries, N keys, K blocks, d features a block, B sequences of a batch.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

try:
    from jaxtyping import Bool, Float, Int, Shaped  # pyright: ignore[reportAssignmentType]
except ImportError:  # annotations are never evaluated in production, so a subscript that returns the type is enough

    class Float:
        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            return item[0]

    Bool = Int = Shaped = Float

Arrays = dict[str, np.ndarray]


def plain(x: Tensor) -> np.ndarray:
    return np.array(x.detach().cpu().numpy(), order="C")  # unlike ascontiguousarray, leaves a scalar a scalar
