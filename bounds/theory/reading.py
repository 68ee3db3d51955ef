"""A claim as it may be read, why that is false, and what is true instead. Each has a test that says `refutes`."""

from __future__ import annotations

from dataclasses import dataclass

from bounds.theory.theorem import ProofStep


@dataclass(frozen=True)
class FalseReading:
    """A reading of a claim, its refutation, and the repaired statement."""

    claim: str
    name: str
    reading: str
    refutation: str
    repaired: str
    steps: tuple[ProofStep, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.claim}: {self.name}"
