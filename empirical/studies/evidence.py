"""What the ledger keeps of finished studies: their numbers as NAME.json and the figures that its pages show.

    python -m empirical.studies.evidence DIR ... --out bounds/ledger/evidence/studies

DIR are folders of `localist run --study` edges (one a configuration, `blocks` first), floors and schedule. `edges`
gives three files: edges.json with every problem, bracket.json and dual.json, the certificate, of the one that has them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from empirical.errors import BadInput
from empirical.figures import style
from empirical.files import write_atomically
from empirical.studies.edges.figures import levels_of_every_seed
from empirical.studies.findings import Numbers
from empirical.studies.frame import draws, read_study

LOCAL = ("bracket", "certificate")  # of one problem of `edges`, in files of their own


def kept(studies: Sequence[Numbers]) -> dict[str, Numbers]:
    """File name -> what it holds, from the studies as saved."""
    files: dict[str, Numbers] = {}
    for saved in studies:
        made = {"commit": saved["commit"], "versions": saved["versions"]}
        found = saved["numbers"]
        if saved["study"] != "edges":
            files[saved["study"]] = {**found, **made}
            continue
        edges = files.setdefault("edges", {"problems": [], **made})
        edges["problems"].append({name: value for name, value in found.items() if name not in LOCAL})
        if found["bracket"]:
            of = {"problem_digest": found["problem_digest"], **made}
            files["bracket"] = {**found["bracket"], **of}
            files["dual"] = {**found["certificate"], "seed": found["bracket"]["seed"], **of}
    return files


def drawn(studies: Sequence[Numbers]) -> dict[str, Figure]:
    """File name -> figure; the edges of all problems in one."""
    figures: dict[str, Figure] = {}
    for saved in studies:
        figures |= draws(saved["study"]).draw(saved["numbers"])
    problems = [saved["numbers"] for saved in studies if saved["study"] == "edges"]
    return figures | ({"edges": levels_of_every_seed(problems)} if problems else {})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m empirical.studies.evidence", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+")
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    options = parser.parse_args(arguments)
    try:
        studies = [read_study(folder) for folder in options.folders]
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for name, numbers in kept(studies).items():
        write_atomically(options.out / f"{name}.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    with style.drawing():
        for name, figure in drawn(studies).items():
            figure.savefig(options.out / f"{name}.png", dpi=160, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
