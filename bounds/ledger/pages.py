"""`localist claims`: writes paper_checks.md, the graph of theorems, docs/evidence.md and docs/proofs.md.

With --check it changes nothing, and exits 1 where one is stale.
"""

from __future__ import annotations

from pathlib import Path

from bounds.ledger import evidence_page, paper_page, proofs_page
from bounds.ledger.evidence import FOLDER, committed, statuses
from bounds.ledger.graph import draw
from bounds.numbers.repository import repository
from bounds.printing.numpy_forms import generate
from bounds.theorems import THEOREMS

GRAPH = FOLDER / "dependencies.svg"


def texts() -> dict[Path, str]:
    """Every generated page and its text."""
    return {
        paper_page.FILE: paper_page.render(),
        GRAPH: draw(tuple(THEOREMS.values()), statuses(committed())),
        evidence_page.FILE: evidence_page.render(),
        proofs_page.FILE: proofs_page.render(),
    }


def main(arguments: list[str] | None = None) -> int:
    repository("localist claims")
    does, fresh = "Write paper_checks.md and its graph.", "paper_checks.md, its graph and the pages of docs are fresh"
    return generate(texts, "localist claims", does, fresh, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
