"""What a family of models says of itself: its task, which modules attend to what, where its weights stand.

One file a family in `architectures`; no other place knows one by name. A pre-norm layer reads the output of its
own norm; after a post-norm layer the next reads that layer's last norm, and the first reads the norm of the embeddings.
Cross attention reads its keys from the encoder's last norm. A norm of each head's queries and keys, where there is one,
makes the layer's own of no account. Each attention is as transformers computes it, in evaluation; whatever else a
configuration asks for is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from empirical.checkpoints.rotary import Rotation
from empirical.checkpoints.weight_files import WeightFiles
from empirical.errors import BadInput

KINDS = ("self", "encoder", "cross")
CACHES = ("no", "dynamic", "sliding", "static")


class Task(Enum):
    """What a model is trained for; the value is the class of transformers that loads it with its head."""

    NEXT_TOKEN = "AutoModelForCausalLM"
    MASKED_TOKEN = "AutoModelForMaskedLM"
    SEQUENCE_TO_SEQUENCE = "AutoModelForSeq2SeqLM"


@dataclass(frozen=True)
class Norm:
    """gain z + shift, of a vector z of length sqrt(d) that LayerNorm centres and RMSNorm does not."""

    name: str
    centred: bool = True  # LayerNorm; otherwise RMSNorm
    gain: bool = True  # stored as name.weight; otherwise 1
    added: float = 0.0  # to the gain as it is stored
    shift: bool = True  # stored as name.bias, by a LayerNorm alone; otherwise 0


@dataclass(frozen=True)
class Source:
    """Where queries or keys of one attention stand: norm of the layer's input, projection, rows of the latter."""

    norm: Norm
    weight: str
    bias: str | None = None
    first: int = 0  # row, of the first head
    step: int | None = None  # rows from one head to the next; none: a head's features
    factor: float = 1.0  # of the features, before the registry is asked
    by_head: Norm | None = None  # of each head's features after the projection, before positions turn them


@dataclass(frozen=True)
class Attention:
    """One attention of the model as its weights hold it; kinds and layers are those of its calls."""

    kind: str  # of KINDS
    layer: int
    query: Source
    key: Source
    heads: int
    groups: int  # of key heads
    width: int  # features of a head
    scaling: float
    positions: str | None = None  # a table (buckets, heads) that is added to the logits
    rotation: Rotation | None = None  # positions turn queries and keys
    cap: float | None = None  # logits are cap tanh(logit / cap)


@dataclass(frozen=True)
class Architecture:
    """All that differs from one type of model to the next."""

    model_type: str  # as config.json names it
    task: Task
    attentions: Callable[[WeightFiles], Iterator[Attention]]  # where queries and keys stand; refuses by name
    fused: bool = False  # queries, keys and values are rows of one matrix
    columns: bool = False  # rows of matrices, here as in `Source`, are stored as columns
    cross: str = "crossattention"  # in the name of a module that attends to an encoder
    blocks: str | None = None  # of the base model, where they are one stack
    refused: tuple[str, ...] = ()  # of the configuration: attention that is not the family's or asks no registry
    implementation: str = "sdpa"  # or "eager", where transformers has no other for all that is done to a row
    after_padding: bool = False  # the first token's position is the one after the padding token's index

    @property
    def implementations(self) -> tuple[str, ...]:
        """Those that transformers has for all that is done to a row, the one to load it with first."""
        return tuple(dict.fromkeys((self.implementation, "eager")))

    @property
    def causal(self) -> bool:
        """Whether a query of its self attention sees no key after it, so that a cache can keep what is read."""
        return self.task is not Task.MASKED_TOKEN

    @property
    def caches(self) -> tuple[str, ...]:
        return CACHES if self.causal else CACHES[:1]

    @property
    def kinds(self) -> tuple[str, ...]:
        return KINDS if self.task is Task.SEQUENCE_TO_SEQUENCE else KINDS[:1]

    def kind_of(self, module: str, encoder_and_decoder: bool) -> str:
        """The kind of attention of a module by its name."""
        if self.cross in module:
            return "cross"
        return "encoder" if encoder_and_decoder and "encoder." in module + "." else "self"


def number(config: dict[str, Any], *names: str) -> int:
    """The first of the names that a configuration gives. Raises BadInput for what is no count."""
    found = next((config[name] for name in names if config.get(name) is not None), None)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= 10**6:
        raise BadInput(f"config.json must give {names[0]}, a whole number in [1, 10^6], got {found!r}")
    return found


def features(width: int, heads: int) -> int:
    """Of one head. Raises BadInput where heads do not share the width evenly."""
    if width % heads:
        raise BadInput(f"width must be a multiple of the number of heads, got {width} and {heads}")
    return width // heads


def prefix(files: WeightFiles, ending: str) -> str:
    """What comes before the names of the base model: nothing, "transformer." and the like."""
    found = [name.removesuffix(ending) for name in files.shard_of if name.endswith(ending)]
    plain = [p for p in found if p == "" or (p.endswith(".") and p.count(".") == 1)]
    if len(plain) != 1:
        raise BadInput(f"weights must hold one {ending}, got {len(plain)}")
    return plain[0]
