"""Bounds on the rounding of what is computed over layers: 4 ulp a layer, in sums and products of positive terms."""

from __future__ import annotations

from bounds.numbers.arguments import RealLike, last_axis
from bounds.rigour.exact import Rounded


def _over_layers(*arguments: RealLike) -> int:
    return 8 + 4 * max(map(last_axis, arguments))


@Rounded
def drift_bound(errors: RealLike, lipschitz: RealLike) -> int:
    return _over_layers(errors, lipschitz)


@Rounded
def layer_costs(diameters: RealLike, lipschitz: RealLike) -> int:
    return _over_layers(diameters, lipschitz)
