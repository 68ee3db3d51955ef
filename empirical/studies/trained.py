"""The trained text model that the studies turn: made once, saved as model.safetensors, measured in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.model import Layout, Parameters
from empirical.laboratory.model_file import save_model
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import Topics, device_of, make_task
from empirical.laboratory.training import parameters_of, train
from empirical.shapes import Arrays, Int


@dataclass(frozen=True)
class Trained:
    """One setting a penalty, in float64 on the configured device."""

    config: Config
    parameters: Parameters
    task: Topics
    layout: Layout
    arrays: Arrays

    def heldout(self, first: int, last: int) -> Int[Tensor, "B T1"]:
        """Held-out sequences; fewer where the text has no more."""
        return self.task.heldout[first:last]


def trained(config: Config, store: Store, penalties: tuple[float, ...] = (0.0,), name: str = "model") -> Trained:
    """The model of the configuration's first seed at each penalty. Raises BadInput for a task other than `topics`."""
    if config.task.name != "topics":
        raise BadInput(f"task.name must be 'topics' for this study, got {config.task.name!r}")
    seed, device = config.sweep.seeds[0], device_of(config)
    arrays = store.keep(f"trained {name}", lambda: train(config, seed, "random", penalties))
    task = make_task(config, seed, device)
    assert isinstance(task, Topics)
    parameters = {key: value.to(device) for key, value in parameters_of(arrays).items()}
    save_model(store.folder / f"{name}.safetensors", parameters, config)
    return Trained(config, parameters, task, Layout(task.query_block, config, torch.float64), arrays)
