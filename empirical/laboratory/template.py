"""A configuration with every field and its meaning, from the dataclasses: `localist init`, and docs/configuration.md.

What is written runs as it is; a field that is commented out has its default, or is not known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any

from empirical.errors import BadInput
from empirical.laboratory.config import SCHEMA_VERSION, SECTIONS, TaskConfig
from empirical.laboratory.penalty_config import GATES, NORMS

Values = dict[str, dict[str, Any]]

TRAINED: dict[str, Values] = {
    "blocks": {
        "setting": {"n_keys": 32, "n_block": 8, "n_anchors": 1, "fidelity": 0.9},
        "sweep": {"penalties": [0.5, 0.9, 1.1, 2.0, 4.0], "relative_to_critical": True, "starts": ["localised"]},
    },
    "topics": {
        "setting": {"n_keys": 64, "n_block": 16, "n_anchors": 1, "fidelity": 0.85},
        "model": {"layers": 2, "heads": 2, "d_block": 16, "causal": True, "mlp": True, "dtype": "float32"},
        "task": {"queries": 64},
        "sweep": {"penalties": [0.0, 1e-3, 1e-2], "starts": ["random"], "max_steps": 1500, "learning_rate": 0.01},
    },
    GATES: {
        "setting": {"n_keys": 24, "n_block": 6, "n_anchors": 1, "fidelity": 0.9},
        "penalty": {"kind": GATES, "groups": ["layer", "head", "block_query"]},
        "model": {"heads": 2, "causal": True, "value_norm": 4.0, "unembedding_norm": 1.0},
        "task": {"name": "topics", "queries": 24, "segment": 2, "vocabulary": 64},
        "sweep": {
            "penalties": [0.02, 0.1, 1.0, 40.0],
            "starts": ["localised", "random", "ungated"],
            "max_steps": 200,
            "learning_rate": 0.02,
            "step": 0.5,
            "tolerance": 1e-3,
        },
    },
}
"""What is not at its default where a task begins: values that fit together, and train in a minute or two."""


def template(task: str, text_dir: str | None = None, penalty: str = NORMS) -> str:
    """The TOML text. Raises BadInput for a folder of texts beside another task, or one that holds too few."""
    if penalty == GATES and task != "topics":
        raise BadInput(f"--penalty {penalty} must go with --task topics, got {task!r}")
    if text_dir is not None and task != "topics":
        raise BadInput(f"--text-dir must go with --task topics, got {text_dir!r} with {task!r}")
    trained = TRAINED[GATES if penalty == GATES else task]
    values: Values = {section: dict(trained.get(section, {})) for section in SECTIONS}
    values["task"]["name"] = task
    notes: list[str] = []
    if text_dir is not None:
        notes = list(_of_texts(text_dir, values))
    of_gates = f" --penalty {penalty}" if penalty == GATES else ""
    lines = [f"# Written by localist init --task {task}{of_gates}: every field, its meaning and what it may be.", ""]
    lines += [f"schema_version = {SCHEMA_VERSION}"]
    for section, kind in SECTIONS.items():
        lines += ["", f"[{section}]  # {_first_line(kind)}"]
        lines += [_line(item, values[section], task) for item in fields(kind)]
        lines += notes if section == "task" else []
    return "\n".join(lines)


def _of_texts(text_dir: str, values: Values) -> Iterator[str]:
    """As many blocks as there are texts, four at most; which text is in which block, as comments."""
    from empirical.laboratory.text import grouped, read_topics, words_of

    words = words_of(read_topics(text_dir))
    if len(words) < 2:
        raise BadInput(f"--text-dir must hold at least 2 files with words, got {len(words)} in {text_dir!r}")
    blocks, queries = min(4, len(words)), values["task"]["queries"]
    segment = values["task"].get("segment", TaskConfig.segment)
    last = (queries - 1) // segment % blocks
    values["model"]["blocks"], values["task"]["text_dir"] = blocks, text_dir
    values["setting"]["n_block"] = sum(at // segment % blocks == last for at in range(queries))
    for block, files in enumerate(grouped(words, blocks)):
        yield f"# block {block}: {json.dumps(', '.join(files), ensure_ascii=False)}"


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").splitlines()[0].partition("; None where")[0].rstrip(".")


def _line(item: Field[Any], values: dict[str, Any], task: str) -> str:
    of = item.metadata.get("task", "")
    foreign = of not in ("", task)
    value = values.get(item.name, item.default)
    shown = "..." if value is None else json.dumps(list(value) if isinstance(value, tuple) else value)
    hidden = "# " if foreign or value is None else ""
    return f"{hidden}{item.name} = {shown}  # {f'{of}: ' if foreign else ''}{'; '.join(_meaning(item))}"


def _meaning(item: Field[Any]) -> Iterator[str]:
    """What it means, its unit or what it may be."""
    yield item.metadata["meaning"]
    allowed, unit = item.metadata.get("allowed", ""), item.metadata.get("unit", "")
    if allowed or unit not in ("1", "of 1"):
        yield allowed or f"in {unit}"


def page() -> str:
    """docs/configuration.md."""
    lines = [
        "<!-- generated by `python -m empirical.cli.pages` from the dataclasses of the configuration -->",
        "# The configuration",
        "",
        "`localist init [--task topics] [--penalty gates] [--text-dir DIR] > my.toml` writes one with every field,",
        "which `localist run my.toml --out runs/mine` runs as it is. A key unknown or of another task is refused.",
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"## `[{section}]`", "", _first_line(kind), ""]
        lines += ["| field | default | task | meaning |", "|---|---|---|---|"]
        for item in fields(kind):
            default = "" if item.default is None else f"`{json.dumps(item.default)}`"
            of, meaning = item.metadata.get("task", ""), "; ".join(_meaning(item)).replace("|", "\\|")
            lines.append(f"| `{item.name}` | {default} | {of} | {meaning} |")
    return "\n".join([*lines, ""])
