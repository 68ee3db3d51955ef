"""Every reader on files as they break: a refusal or an answer, never a traceback; an answer only of a whole file.

Whole is what a reader of its own, written here or the format's own, reads to its end: a mutation may leave a valid file
of other content, a digit in a configuration say, and that is answered. Files of ours that carry digests (run.json,
observations.nc, a saved model) are whole only as they were written, but for what no reader reads.
"""

from __future__ import annotations

import io
import json
import struct
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import SITE
from mutated import mutations
from safetensors.torch import save_file
from small import SMALL, TOPICS, configured

from empirical.checkpoints.documents import read_documents
from empirical.checkpoints.weights import certify
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK, status_of
from empirical.files import MARK, json_digest
from empirical.laboratory.model import initial_parameters
from empirical.laboratory.model_file import load_model, save_model
from empirical.laboratory.store import Store, read_run
from empirical.laboratory.tasks import device_of
from empirical.observe.files import open_observations, save_dataset
from empirical.rules.files import load_rules

FAST, SLOW = 30, 2000


def read_by_json(content: bytes) -> object:
    return json.loads(content.decode())


def read_by_lines(content: bytes) -> object:
    return [json.loads(line) for line in content.decode().replace("\r\n", "\n").split("\n") if line.strip()]


def read_by_toml(content: bytes) -> object:
    return tomllib.loads(content.decode())


def read_by_numpy(content: bytes) -> object:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
    with np.load(io.BytesIO(content)) as found:
        return [found[name] for name in found.files]


def read_as_written(content: bytes, written: bytes = b"") -> None:
    """What is before the digest must be as it was; of what follows nothing is read."""
    whole, mark, _ = written.rpartition(MARK)
    assert mark
    assert content.startswith(whole)


def read_run_json(content: bytes) -> object:
    found = json.loads(content.decode())
    seal = found.pop("seal", None)
    assert seal is None or seal == json_digest(found)
    return found


def read_by_header(content: bytes) -> object:
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    assert max(ends) == len(content) - 8 - length
    return header


def toml(_: Path) -> tuple[bytes, str]:
    plain = "schema_version = 1\n[setting]\nfidelity = 0.9\nn_keys = 64\nn_block = 16\nmargin = 6.0\n"
    return (plain + '[task]\nname = "topics"\nqueries = 64\n[sweep]\nstarts = ["random"]\n').encode(), "thresholds FILE"


def rules(_: Path) -> tuple[bytes, str]:
    one = 'trigger = { block = 0 }\ntarget = { words = ["a"] } # why\nstrength = 9.0\nmass = 0.9\nlayers = [\n0,\n]\n'
    return f'[[rule]]\nname = "a"\n{one}[[rule]]\nname = "b"\npriority = 1\n{one}'.encode(), "rules FILE"


def study(_: Path) -> tuple[bytes, str]:
    layers = {"diameters": [1.0, 2.5], "lipschitz": [0.1, 0.2, 0.3, 0.4], "leakage": [0.5, 1.0]}
    return json.dumps({"study": "schedule", "numbers": {"layers": layers}}).encode(), "schedule FILE --budget 1"


def run(folder: Path) -> tuple[bytes, str]:
    Store.open(folder / "made", configured(SMALL), {}, resume=False)
    return (folder / "made" / "run.json").read_bytes(), "run FILE"


def documents(_: Path) -> tuple[bytes, str]:
    spans = [{"start": 0, "end": 3, "block": "é"}, {"start": 4, "end": 7, "block": 2}]
    line = json.dumps({"text": "one\u2028two three", "spans": spans}, ensure_ascii=False)
    return f"{line}\n\n{line}\n".encode(), "documents FILE"


def attention(folder: Path, save=np.savez) -> tuple[bytes, str]:
    blocks = {"query_block": np.arange(4) % 2, "key_block": np.arange(6) % 2}
    save(folder / "own.npz", logits=np.random.default_rng(0).normal(size=(2, 4, 6)), **blocks, temperature=0.5)
    return (folder / "own.npz").read_bytes(), "check FILE"


def rows(folder: Path) -> tuple[bytes, str]:
    attention(folder)
    dataset = open_observations(folder / "own.npz")
    fields = {str(name): dataset[name].values for name in (*dataset.data_vars, "seed", "start")}
    np.savez(folder / "rows.npz", **fields)
    return (folder / "rows.npz").read_bytes(), "check FILE"


def packed(folder: Path) -> tuple[bytes, str]:
    return attention(folder, np.savez_compressed)


def observations(folder: Path) -> tuple[bytes, str]:
    attention(folder)
    dataset = open_observations(folder / "own.npz")
    dataset.attrs |= {"config": json.dumps(configured(SMALL).as_dict()), "dials": "[0.0]"}
    save_dataset(dataset, folder / "rows.nc")
    return (folder / "rows.nc").read_bytes(), "check FILE"


def model(folder: Path) -> tuple[bytes, str]:
    config = configured(TOPICS)
    save_model(folder / "x.safetensors", initial_parameters(config, 0, 1, device_of(config), torch.float32), config)
    return (folder / "x.safetensors").read_bytes(), "model FILE"


def weights(folder: Path) -> tuple[bytes, str]:
    width = {"n_layer": 1, "n_head": 2, "n_embd": 4, "model_type": "gpt2"}
    (folder / "config.json").write_text(json.dumps(width))
    norm = {f"h.0.ln_1.{part}": torch.ones(4) for part in ("weight", "bias")}
    queries = {"h.0.attn.c_attn.weight": torch.ones(4, 12), "h.0.attn.c_attn.bias": torch.zeros(12)}
    save_file({**norm, **queries}, folder / "model.safetensors")
    return (folder / "model.safetensors").read_bytes(), "weights FILE"


def configuration(folder: Path) -> tuple[bytes, str]:
    weights(folder)
    return (folder / "config.json").read_bytes(), "weights FILE"


FORMATS = {
    "configuration.toml": (toml, read_by_toml),
    "rules.toml": (rules, read_by_toml),
    "study.json": (study, read_by_json),
    "run.json": (run, read_run_json),
    "text.jsonl": (documents, read_by_lines),
    "own.npz": (attention, read_by_numpy),
    "packed.npz": (packed, read_by_numpy),
    "rows.npz": (rows, read_by_numpy),
    "observations.nc": (observations, read_as_written),
    "reference.safetensors": (model, read_by_header),
    "model.safetensors": (weights, read_by_header),
    "config.json": (configuration, read_by_json),
}


def answered(command: str, path: Path) -> int:
    """The status of the command line on the file, or of the reader behind it."""
    first, *rest = command.replace("FILE", str(path)).split()
    if first in ("thresholds", "schedule", "check"):
        return main([first, *rest])

    def reader() -> int:
        if first == "rules":
            load_rules(path, SITE)
        elif first == "documents":
            read_documents(path)
        elif first == "run":
            read_run(path.parent)
        elif first == "model":
            load_model(path)
        else:
            list(certify(path.parent, fidelity=0.9, n_keys=8, n_block=2))
        return OK

    return status_of(reader)


def fuzzed(name: str, count: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """How many of the mutated files were refused; all others were whole."""
    write, reference = FORMATS[name]
    content, command = write(folder)
    path, refused = folder / name, 0
    for at, broken in enumerate(mutations(content, count)):
        path.write_bytes(broken)
        status = answered(command, path)
        error = capsys.readouterr().err
        if status == BAD_INPUT:
            refused += 1
            assert error.startswith("localist: "), (at, error)
            assert error.count("\n") == 1, (at, error)
            assert len(error) < 1600, (at, error[:200])
            continue
        try:
            _ = read_as_written(broken, content) if reference is read_as_written else reference(broken)
        except Exception as wrong:
            pytest.fail(f"mutation {at} of {name} is broken ({wrong!r}) and was answered with status {status}")
    return refused


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_a_broken_file_is_refused_whatever_is_broken_in_it(name, tmp_path, capsys):
    assert fuzzed(name, FAST, tmp_path, capsys) >= FAST // 4


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_two_thousand_broken_files_of_each_format_are_refused(name, tmp_path, capsys):
    assert fuzzed(name, SLOW, tmp_path, capsys) >= SLOW // 4


def test_the_reference_readers_can_refuse():
    for _, reference in FORMATS.values():
        with pytest.raises(Exception, match=r".*"):
            reference(b"\xff\xfe")
