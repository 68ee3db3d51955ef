"""The margin that an entropy needs: `entropy_ceiling` read backwards, by bisection, on the safe side.

The ceiling falls in the margin. Where there is no answer, an `Unreachable` says why.
Source: arXiv:2510.09338v2, abstract, claim C4; derived here.
"""

from __future__ import annotations

import numpy as np

import bounds.numbers.arguments as check
from bounds.entropy import closed_forms
from bounds.numbers.arguments import RealLike, scaled
from bounds.numbers.search import LARGEST, Solutions, Unreachable, answer, at_ordinal, least, ordinal
from bounds.rigour.enclosed import enclosable

__all__ = ["margin_for_entropy"]


@enclosable
def margin_for_entropy(
    entropy: RealLike,
    n_keys: RealLike,
    n_block: RealLike,
    n_anchors: RealLike | None = None,
    temperature: RealLike = 1.0,
) -> float | Unreachable | Solutions:
    """Least margin (logits) that guarantees an entropy of at most `entropy` nats.

    ln n or more is met by every row, so any margin does: -inf. ln m or less is met by no finite margin: Unreachable,
    since the anchors and the free keys of the block may be tied. Raises BadInput for a negative or infinite entropy.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, tau = check.non_negative("entropy", entropy), check.positive("temperature", temperature)
    target, n, m, r, tau = check.together(target, n, m, r, tau)
    with np.errstate(under="ignore"):
        place, reachable = least(
            lambda o: closed_forms.entropy_ceiling(scaled(at_ordinal(o), tau), n, m, r) <= target,
            ordinal(tau),
            np.zeros(target.shape),
            np.full(target.shape, LARGEST),
        )
    return answer(
        np.where(target >= np.log(n), -np.inf, at_ordinal(place)),
        (target <= np.log(m), "a finite margin never guarantees an entropy of ln(n_block) nats or less"),
        (~reachable & (target < np.log(n)), "the margin exceeds the largest float64 at this temperature"),
    )
