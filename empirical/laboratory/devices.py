"""Where a sweep does more: in one-thread workers on the CPU, or as one batch on a GPU. Measured, in about a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from empirical.laboratory.cells import CELL_SETTINGS, GPU_SETTINGS
from empirical.laboratory.config import Config
from empirical.laboratory.minibatch import loss_and_gradients
from empirical.laboratory.model import Layout, initial_parameters
from empirical.laboratory.tasks import Topics, device_of, dtype_of, make_task
from empirical.laboratory.training import zero_forms
from empirical.threads import one_thread

SECONDS = 0.3  # of measuring, each
WARM_UP = 3


def choose_device(config: Config) -> Config:
    """`config` with "auto" replaced by "cpu" or "cuda"; a machine without a GPU is not probed."""
    if config.sweep.device != "auto":
        return config
    on = {name: replace(config, sweep=replace(config.sweep, device=name)) for name in ("cpu", "cuda")}
    if not torch.cuda.is_available():
        return on["cpu"]
    cpu = settings_a_second(on["cpu"], CELL_SETTINGS) * config.sweep.workers
    gpu = settings_a_second(on["cuda"], GPU_SETTINGS)
    chosen = "cuda" if gpu > cpu else "cpu"
    said = (
        f"device {chosen}: {gpu:,.0f} gradients a second on the GPU, {cpu:,.0f} on {config.sweep.workers} CPU workers"
    )
    print(said, file=sys.stderr)
    return on[chosen]


def settings_a_second(config: Config, settings: int) -> float:
    """Gradients of one setting a second, that many side by side, on the configured device; one thread on a CPU."""
    gradient, device = _gradient(config, settings), device_of(config)
    wait: Callable[[], Any] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with one_thread():
        for _ in range(WARM_UP):
            gradient()
        wait()
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < SECONDS:
            gradient()
            wait()
            count += settings
        return count / (time.perf_counter() - begin)


def _gradient(config: Config, settings: int) -> Callable[[], Any]:
    device, dtype, seed = device_of(config), dtype_of(config), config.sweep.seeds[0]
    task = make_task(config, seed, device)
    if isinstance(task, Topics):
        parameters = initial_parameters(config, seed, settings, device, dtype)
        layout, batch = Layout(task.query_block, config, dtype), task.batch(config)
        return lambda: loss_and_gradients(parameters, batch, layout, config)
    forms = zero_forms(config, settings, device)
    return lambda: task.training.loss_and_gradient(forms)
