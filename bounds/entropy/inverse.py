"""The margin that an entropy needs: `entropy_ceiling` read backwards, by bisection, on the safe side.

The ceiling falls in the margin. Where there is no answer, an `Unreachable` says why.
Source: arXiv:2510.09338v2, abstract, claim C4; derived here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import bounds.numbers.arguments as check
from bounds.entropy import closed_forms
from bounds.numbers.arguments import scaled
from bounds.numbers.search import LARGEST, answer, at_ordinal, least, ordinal
from bounds.rigour.enclosed import enclosable

__all__ = ["margin_for_entropy"]


@enclosable
def margin_for_entropy(
    entropy: ArrayLike,
    n_keys: ArrayLike,
    n_block: ArrayLike,
    n_anchors: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> Any:
    """Least margin (logits) that guarantees an entropy of at most `entropy` nats.

    ln n or more is met by every row, so any margin does: -inf. ln m or less is met by no finite margin: Unreachable,
    since the anchors and the free keys of the block may be tied. Raises ValueError for a negative or infinite entropy.
    """
    n, m, r = check.keys(n_keys, n_block, n_anchors)
    target, tau = check.non_negative("entropy", entropy), check.positive("temperature", temperature)
    target, n, m, r, tau = np.broadcast_arrays(target, n, m, r, tau)
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
