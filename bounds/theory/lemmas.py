"""Standard facts that proofs may rest on by name; sympy is not asked to settle them."""

from __future__ import annotations

LEMMAS: dict[str, str] = {
    "termwise": "A sum of k terms, each at most t, is at most k t; of positive terms, a larger term makes a larger "
    "sum.",
    "gibbs": "Gibbs: H(a) <= ln sum v - sum a_j ln v_j for positive v, equal where a is proportional to v.",
    "chain rule": "H of a pair is H of the first plus the mean H of the second given the first.",
    "chain rule of derivatives": "d/dt f(x(t)) = <grad f(x(t)), x'(t)> for differentiable f and x.",
    "fundamental theorem": "A continuously differentiable function changes by the integral of its derivative.",
    "even spread": "A mass over k places has entropy at most that of its even spread, ln k.",
    "concave minimum": "A concave function on a polytope is least at an extreme point.",
    "jensen": "Jensen: the mean of a concave function is at most the function of the mean.",
    "softmax derivative": "d a_j / d s_k = a_j (1[j = k] - a_k) / tau.",
    "cauchy-schwarz": "|<x, y>| <= ||x|| ||y||; for matrices ||X^T C||_F <= ||X||_op ||C||_F.",
    "triangle": "||x + y|| <= ||x|| + ||y||; angles on the sphere: angle(x, z) <= angle(x, y) + angle(y, z).",
    "convex extreme": "A convex function of a law with given support bounds is greatest at an extreme law.",
    "proximal step": "prox of t||.|| maps z to z (1 - t/||z||)^+; W = prox(W - t grad) says 0 in grad + d||W||.",
    "mean value": "A differentiable function changes by at most the length of the way times its largest slope there.",
    "intermediate value": "A continuous function takes every value between two of its values.",
    "induction": "What holds at first, and at each step if it did before, holds always.",
    "theorem": "The words restate a theorem that the proof rests on.",
    "continuity": "A continuous function that is below a number at a point is below it nearby.",
    "piecewise linear": "A convex piecewise linear function that is bounded below is least at a kink or an end.",
    "definition": "The words restate a definition or a hypothesis.",
    "gram": "A Gram matrix is positive semidefinite; so are its entrywise powers and Gegenbauer polynomials in it "
    "(Schoenberg 1942).",
    "rayleigh": "v^T K v <= (largest eigenvalue of K) ||v||^2 for symmetric K.",
    "pigeonhole": "Of finitely many numbers, one is at most their mean.",
    "obtuse vectors": "At most d + 1 vectors of R^d have pairwise negative inner products.",
    "lp duality": "Weak duality: a feasible value is at most the Lagrangian at any non-negative multiplier.",
    "fano": "Fano: H(B | pointer) <= h(e) + e ln(K - 1), e the probability that the pointer errs.",
    "zhai": "Zhai et al. 2023 (arXiv:2303.06296), Theorem 3.1.",
    "ramsauer": "Ramsauer et al. 2021 (arXiv:2008.02217), Theorem 5.",
}
