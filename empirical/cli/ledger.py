"""`localist verify` and `claims`: evidence on every theorem, and the pages that are made of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from empirical.cli.arguments import add_json, document
from empirical.cli.exits import OK, REFUTED, epilog
from empirical.errors import BadInput

if TYPE_CHECKING:
    from bounds.theory.theorem import Theorem
    from empirical.cli.arguments import Commands


def add_parsers(commands: Commands) -> None:
    verify = commands.add_parser(
        "verify",
        help="the evidence on every theorem; exit 1 where it is worse than before",
        epilog=epilog(
            "localist verify --claim C4 --quick",
            "how many theorems stand as they should, then a line each: proof steps, needed hypotheses, attacks",
            REFUTED,
        ),
    )
    verify.add_argument("theorem", nargs="*", metavar="THEOREM", help="only these; default: all")
    verify.add_argument("--claim", action="append", default=[], metavar="KEY", help="those of a claim, C1 to C14, too")
    verify.add_argument("--quick", action="store_true", help="20,000 inputs each in place of a million; writes nothing")
    verify.add_argument("--out", type=Path, metavar="DIR", help="default: the evidence of this checkout")
    verify.add_argument("--runs", action="append", default=[], type=Path, metavar="DIR", help="finished runs to cite")
    verify.add_argument("--observed", action="store_true", help="only cite --runs in the evidence there is")
    add_json(verify)
    verify.set_defaults(run=_verify)

    claims = commands.add_parser(
        "claims",
        help="paper_checks.md and its graph, from the theorems and their evidence",
        epilog=epilog("localist claims --latex", "the pages written, or a table, or whether files are stale", REFUTED),
    )
    claims.add_argument("--check", action="store_true", help="change nothing; exit 1 where a file is stale")
    claims.add_argument(
        "--latex", action="store_true", help="print the claims and verdicts as a LaTeX table; write nothing"
    )
    add_json(claims, "the claims and verdicts as one JSON document on stdout; write nothing")
    claims.set_defaults(run=_claims)


def _verify(arguments: argparse.Namespace) -> int:
    from bounds.ledger.evidence import FOLDER
    from bounds.numbers.repository import repository
    from empirical.files import usable_folder
    from empirical.verify.gathering import cite, summary, verify

    if arguments.quick and arguments.out is not None:
        raise BadInput(f"--out must go without --quick, which writes nothing, got {str(arguments.out)!r}")
    if arguments.out is not None:
        usable_folder(arguments.out)
    theorems = _theorems(arguments.theorem, arguments.claim)
    if arguments.out is None and not arguments.quick:
        repository("localist verify without --quick or --out DIR")
    folder = FOLDER if arguments.out is None else arguments.out
    if arguments.observed:
        if arguments.quick or not arguments.runs:
            raise BadInput("--observed must go with --runs and without --quick, got it otherwise")
        cited = [
            (theorem.key, wrong, "\n".join([f"{'worse' if wrong else 'ok':6}{theorem.key}", *wrong]))
            for theorem, wrong in cite(theorems, folder, arguments.runs)
        ]
        return _stands(cited, f"cite {len(arguments.runs)} runs; in {folder}", arguments.json)
    gathered = [
        (theorem.key, wrong, summary(theorem, evidence, wrong))
        for theorem, evidence, wrong in verify(theorems, folder, arguments.runs, arguments.quick, progress=True)
    ]
    where = "nothing was written (--quick)" if arguments.quick else f"evidence in {folder}"
    return _stands(gathered, f"stand as they should; {where}", arguments.json)


def _stands(found: Sequence[tuple[str, list[str], str]], words: str, as_json: bool) -> int:
    """Says how many theorems are without a fault, then of each what was found; found: key, faults, lines."""
    failed = sum(bool(wrong) for _, wrong, _ in found)
    conclusion = f"{len(found) - failed} of {len(found)} theorems {words}"
    if as_json:
        told = [{"theorem": key, "stands": not wrong, "faults": wrong} for key, wrong, _ in found]
        print(document({"conclusion": conclusion, "theorems": told}))
    else:
        print(conclusion, "", *(lines for _, _, lines in found), sep="\n")
    return REFUTED if failed else OK


def _theorems(keys: list[str], claims: list[str]) -> list[Theorem]:
    """Those named, and those of the claims named; all of them where nothing is."""
    from bounds.ledger.claims import CLAIMS
    from bounds.theorems import THEOREMS, by_key

    known = [claim.key for claim in CLAIMS]
    if unknown := [claim for claim in claims if claim not in known]:
        raise BadInput(f"--claim must be one of {', '.join(known)}, got {unknown[0]!r}")
    wanted = {by_key(key).key for key in keys}
    wanted |= {key for key, theorem in THEOREMS.items() if set(theorem.claims) & set(claims)}
    return [theorem for key, theorem in THEOREMS.items() if key in wanted or not wanted]


def _claims(arguments: argparse.Namespace) -> int:
    ways = [name for name in ("check", "latex", "json") if getattr(arguments, name)]
    if len(ways) > 1:
        raise BadInput(f"--{ways[0]} must go alone, got --{ways[1]} beside it")
    if arguments.json:
        from dataclasses import asdict

        from bounds.ledger.claims import CLAIMS
        from bounds.ledger.paper_page import conclusion

        print(document({"conclusion": conclusion(), "claims": [asdict(claim) for claim in CLAIMS]}))
        return OK
    if arguments.latex:
        from bounds.ledger.paper_page import latex

        print(latex())
        return OK
    from bounds.ledger.pages import main

    return main(["--check"] if arguments.check else [])
