"""What samples say: a dial that meets its target in a share of documents, with stated confidence.

    X = least kappa at which every row of a document meets the target;  X_(1) <= ... <= X_(N) of N documents drawn alike
    P(a share p of documents needs no more than X_(r)) >= P(Binomial(N, p) <= r - 1);  for r = N that is 1 - p^N

The unit is a document, since its rows depend on each other, and its statistic its worst row. The inequality is an
equality where X has no ties, and ties only help; no other property of its distribution is used (Wilks 1941). Documents
for the audit are others than those that the dial was read off. It is a statement about documents drawn as these were:
not about a text chosen by an adversary, for which see `bounds.logit_range`, nor about a drifting source.
"""

# scipy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.stats import beta, binom

import bounds.numbers.arguments as check
from bounds.dial.closed_forms import kappa_needed
from bounds.numbers.arguments import RealLike, Reals
from bounds.numbers.search import Unreachable, greatest, least

ROUNDING = 1e-11  # relative, of a tail of scipy's binomial law at any count up to MOST; measured below 1e-12
EXACT = 2_000  # counts up to which a comparison within the rounding is decided in rational numbers
MOST = 2**31


def _whole(name: str, value: Any, low: int) -> int:
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = low - 1
    if whole != value or not low <= whole <= MOST:
        raise check.reject(name, f"a whole number in [{low}, 2^31]", repr(value))
    return whole


def _share(name: str, value: Any) -> float:
    return float(check.unit_open(name, value))


def _doubt(rank: int, count: int, share: float) -> float:
    """P(Binomial(N, p) >= r), the chance that X_(r) lies too low, to relative accuracy."""
    return float(binom.sf(rank - 1, count, share))


def _trusted(rank: int, count: int, share: float, confidence: float) -> bool:
    """Whether X_(r) has the confidence: certainly so, or decided in rational numbers, or else no."""
    doubt, allowed = _doubt(rank, count, share), 1 - confidence  # exact from 1/2 on, and below it near enough
    if abs(doubt - allowed) > ROUNDING * allowed:
        return doubt < allowed
    if count > EXACT:
        return False
    p = Fraction(share)
    a, b = p.numerator, p.denominator - p.numerator
    term, total = a**count, 0  # from r = N down: C(N, i) a^i b^(N-i)
    for i in range(count, rank - 1, -1):
        total += term
        term = term * i * b // ((count - i + 1) * a)
    return Fraction(total, (a + b) ** count) <= 1 - Fraction(confidence)


def least_count(share: float, confidence: float) -> int:
    """Fewest documents of which the worst supports (p, c): least N with 1 - p^N >= c, about ln(1-c)/ln p.

    `share` and `confidence` in (0, 1). Source: Wilks 1941. Raises BadInput out of range, or for more than 2^31.
    """
    p, c = _share("share", share), _share("confidence", confidence)
    guess = np.log1p(-c) / np.log(p)
    if not guess < MOST:
        raise check.reject("share", "such that 2^31 documents are enough", share, f" with confidence={confidence}")
    place, found = least(
        lambda n: np.asarray(_trusted(int(n), int(n), p, c)), np.int64(np.ceil(guess)), np.int64(1), np.int64(MOST)
    )
    assert bool(found)
    return int(place)


def rank_confidence(rank: int, count: int, share: float) -> float:
    """P(Binomial(N, p) <= r - 1): the confidence that a share p of documents needs no more than X_(r).

    It is the chance that a Beta(r, N - r + 1) variable is p or more. Exact without ties, a lower bound with them.
    Raises BadInput for a rank outside [1, N] or a share outside (0, 1).
    """
    count = _whole("count", count, 1)
    rank = _whole("rank", rank, 1)
    if rank > count:
        raise check.reject("rank", "in [1, count]", rank, f" with count={count}")
    return float(binom.cdf(rank - 1, count, _share("share", share)))


def tolerance_rank(count: int, share: float, confidence: float) -> int | Unreachable:
    """Least rank r whose order statistic X_(r) supports (p, c): P(Binomial(N, p) <= r - 1) >= c.

    Unreachable below the least count, which the reason names. Raises BadInput for arguments out of range.
    """
    count = _whole("count", count, 0)
    p, c = _share("share", share), _share("confidence", confidence)
    needed = least_count(p, c)
    if count < needed:
        return Unreachable(
            f"{count} documents cannot support a share of {p:g} with confidence {c:g}: at least {needed} are needed"
        )
    guess = np.int64(np.clip(binom.ppf(c, count, p) + 1, 1, count))
    place, _ = least(lambda r: np.asarray(_trusted(int(r), count, p, c)), guess, np.int64(1), np.int64(count))
    return int(place)


@dataclass(frozen=True)
class Sampled:
    """With confidence `confidence`, a share `share` or more of documents needs at most `kappa`."""

    kappa: float  # inf: only a hard mask is supported
    rank: int  # of the order statistic, from the smallest
    count: int  # documents
    share: float
    confidence: float
    achieved: float  # the confidence of that rank: exactly that without ties, at least that with them


def sampled_kappa(needed: RealLike, share: float, confidence: float) -> Sampled | Unreachable:
    """The dial that documents support: X_(r), r = `tolerance_rank`, of `needed` (N,), one worst kappa a document.

    Unreachable below the least count. Raises BadInput for another shape, a negative kappa, NaN.
    """
    kappas = check.real("needed", needed, ">= 0 (inf masks), one a document", lambda a: a >= 0)
    if kappas.ndim != 1:
        raise check.reject("needed", "one kappa a document", f"shape {kappas.shape}")
    rank = tolerance_rank(len(kappas), share, confidence)
    if isinstance(rank, Unreachable):
        return rank
    chosen = float(np.sort(kappas)[rank - 1])
    p, c = float(share), float(confidence)
    return Sampled(chosen, rank, len(kappas), p, c, rank_confidence(rank, len(kappas), p))


def most_misses(misses: int, count: int, confidence: float) -> float:
    """Upper confidence bound on the share of documents that miss (Clopper and Pearson 1934), rounded up.

    Least share q with P(Binomial(N, q) <= x) <= 1 - c; 1 where every document missed. Raises BadInput for x outside
    [0, N], no documents, or a confidence outside (0, 1).
    """
    count, c = _whole("count", count, 1), _share("confidence", confidence)
    misses = _whole("misses", misses, 0)
    if misses > count:
        raise check.reject("misses", "in [0, count]", misses, f" with count={count}")
    if misses == count:
        return 1.0
    share = float(beta.ppf(c, misses + 1, count - misses))
    step = ROUNDING * share * (1 - share) + float(np.spacing(share))
    while share < 1 and float(binom.cdf(misses, count, share)) > (1 - c) * (1 - ROUNDING):
        share, step = min(share + step, 1.0), 2 * step
    return share


@dataclass(frozen=True)
class Audit:
    """What documents that had no part in choosing a dial say of it."""

    misses: int  # documents with a row below the target
    count: int
    confidence: float
    most: float  # upper confidence bound on the share of documents that miss

    def supports(self, share: float) -> bool:
        """Whether the audit alone says, with its confidence, that this share of documents meets the target."""
        return self.most <= 1 - _share("share", share)


def audit(missed: RealLike, confidence: float) -> Audit:
    """The audit of `missed` (N,), whether each document has a row below the target."""
    documents = np.asarray(missed)
    if documents.dtype != bool or documents.ndim != 1 or not documents.size:
        raise check.reject("missed", "one bool a document", f"{documents.dtype} of shape {documents.shape}")
    misses = int(documents.sum())
    return Audit(misses, len(documents), float(confidence), most_misses(misses, len(documents), confidence))


def most_count_met(count: int, share: float, confidence: float) -> int | Unreachable:
    """Most misses among N audited documents at which the audit still supports the share; the plan of an audit.

    Unreachable where not even none is enough, which the reason says. Raises BadInput for arguments out of range.
    """
    count, p, c = _whole("count", count, 1), _share("share", share), _share("confidence", confidence)
    place, found = greatest(
        lambda x: np.asarray(most_misses(int(x), count, c) <= 1 - p), np.int64(0), np.int64(0), np.int64(count)
    )
    if not bool(found):
        needed = least_count(p, c)
        return Unreachable(f"{count} audited documents without a miss do not support {p:g}: at least {needed} do")
    return int(place)


def row_kappa(log_leakage: RealLike, fidelity: RealLike, target: RealLike) -> Reals:
    """Least kappa at which rows meet the target, by the odds law: max(0, ln(eps/F) - ln((1-F*)/F*)), rounded up.

    From ln eps and F of the row, so that no digits are lost at either end; inf for a row with no mass in its block.
    Raises BadInput for ln eps > 0, a fidelity outside [0, 1], a target outside (0, 1).
    """
    log_leakage = check.real("log_leakage", log_leakage, "<= 0", lambda a: a <= 0)
    fidelity, goal = check.unit_closed("fidelity", fidelity), check.unit_open("target", target)
    with np.errstate(divide="ignore", invalid="ignore"):  # -inf: nothing leaks; NaN: no row at all, masked below
        terms = log_leakage, np.log(fidelity), kappa_needed(1.0, 1.0, goal, 1 - goal)
        kappa = terms[0] - terms[1] + terms[2]
        finite = [np.where(np.isfinite(term), np.abs(term), 0.0) for term in terms]
        room = 8 * np.finfo(float).eps * (finite[0] + finite[1] + finite[2] + 1)  # of logarithms and their sums
        kappa = np.where(kappa + room > 0, kappa + room, 0.0)
    return np.where(fidelity > 0, kappa, np.inf)
