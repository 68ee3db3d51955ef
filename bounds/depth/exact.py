"""Bounds on the rounding of what is computed over layers: 4 ulp a layer, in sums and products of positive terms."""

from __future__ import annotations

import numpy as np

from bounds.numbers.arguments import RealLike
from bounds.rigour.exact import Rounded


def _over_layers(*arguments: RealLike) -> int:
    return 8 + 4 * max(np.shape(np.atleast_1d(a))[-1] for a in arguments)


@Rounded
def drift_bound(errors: RealLike, lipschitz: RealLike) -> int:
    return _over_layers(errors, lipschitz)


@Rounded
def layer_costs(diameters: RealLike, lipschitz: RealLike) -> int:
    return _over_layers(diameters, lipschitz)
