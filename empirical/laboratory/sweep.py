"""A sweep: cells trained by one-thread worker processes on a CPU, in this process on a GPU, and saved as they finish.

What is in a cell never depends on the number of workers, so neither does any result. On a GPU the cells of a seed and
start are trained as one batch, which changes the rounding of sums and nothing else.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import queue
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empirical.errors import BadInput
from empirical.laboratory.cells import GPU_SETTINGS, LOCALISE, Cell, absolute_penalties, plan
from empirical.laboratory.config import BRANCHES, Config, parse
from empirical.laboratory.store import Store

if TYPE_CHECKING:
    from empirical.laboratory.text import Texts
    from empirical.shapes import Arrays

NO_MEMORY = re.compile("out of memory|not enough memory", re.IGNORECASE)
MEANS = (2.0, 0.02)  # seconds and share of the work from which on a time left means something
ONE_THREAD: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def train_cells(config: Config, store: Store, cells: Sequence[Cell], report: Any = None) -> None:
    """Trains cells of one seed and start side by side and saves each; it reads the localised solution of its seed."""
    from empirical.laboratory.training import localise, parts, train

    seed, start = cells[0].seed, cells[0].start
    if start == LOCALISE:
        store.save(cells[0].spec, localise(config, seed, report))
        return
    localised = store.load(Cell(seed, LOCALISE).spec) if config.has_localised else None
    penalties = [absolute_penalties(config, cell, localised) for cell in cells]
    together = tuple(p for those in penalties for p in those)
    arrays = _within_memory(lambda chosen: train(config, seed, start, chosen, localised, report), together, start)
    for cell, part in zip(cells, parts(arrays, [len(those) for those in penalties])):
        store.save(cell.spec, part)


def _within_memory(
    train_all: Callable[[tuple[float, ...]], Arrays], penalties: tuple[float, ...], start: str
) -> Arrays:
    """All settings side by side, or each half of them where memory does not suffice, which is said."""
    from empirical.laboratory.training import join

    try:
        return train_all(penalties)
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError, and so is that of a CPU
        if not isinstance(error, MemoryError) and not NO_MEMORY.search(str(error)):
            raise
        if len(penalties) == 1 or start in BRANCHES:
            raise BadInput(f"sweep must fit into memory, got none left for a single setting ({error})") from None
    half = len(penalties) // 2
    print(f"memory does not suffice for {len(penalties)} settings side by side: half at a time", file=sys.stderr)
    return join([_within_memory(train_all, part, start) for part in (penalties[:half], penalties[half:])])


def _side_by_side(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """Cells of one seed and start together, as many as a GPU takes; a path and a localised solution alone."""
    for _, group in itertools.groupby(cells, key=lambda cell: (cell.seed, cell.start)):
        held: list[Cell] = []
        for cell in group:
            if held and (cell.start in BRANCHES or sum(len(c.penalties) for c in [*held, cell]) > GPU_SETTINGS):
                yield held
                held = []
            held.append(cell)
        yield held


def sweep(config: Config, out: Path, resume: bool = False, progress: bool = True) -> None:
    """Trains every cell of the configuration that the folder `out` does not hold yet; see `prepared`."""
    prepared(config, out, resume, progress)()


def prepared(
    config: Config, out: Path, resume: bool = False, progress: bool = True, topics: Texts | None = None
) -> Callable[[], None]:
    """What trains every cell that the folder does not hold yet, once all that can be refused has been.

    `topics`: the text of a run of that task where it has been read already.
    Raises BadInput for a folder that is not empty (without `resume`) or holds another run, a device or text that is
    not there: before anything is written. Training raises it for a full disk; KeyboardInterrupt leaves finished cells.
    """
    from empirical.laboratory.devices import choose_device
    from empirical.laboratory.tasks import device_of, make_task
    from empirical.laboratory.text import read_corpus, read_topics, text_digest

    config, text = choose_device(config), {}
    device = device_of(config)
    if config.task.name == "topics":
        topics = read_topics(config.task.text_dir) if topics is None else topics
        read_corpus(config, topics)
        text = text_digest(config, topics)
    else:
        make_task(config, config.sweep.seeds[0], device)
    store = Store.open(Path(out), config, text, resume)
    return partial(_train, config, store, progress)


def _train(config: Config, store: Store, progress: bool) -> None:
    cells = plan(config)
    missing = [cell for cell in cells if store.load(cell.spec) is None]
    stages = ([c for c in missing if c.start == LOCALISE], [c for c in missing if c.start != LOCALISE])
    with _bar(len(cells), len(cells) - len(missing), progress) as bar:
        if config.sweep.device == "cpu" and missing:
            _in_workers(config, store, stages, min(config.sweep.workers, max(map(len, stages))), bar)
            return
        for stage in stages:
            for cells_now in _side_by_side(stage):
                first = cells_now[0]
                train_cells(config, store, cells_now, lambda *state, first=first: bar.moving(first, *state))
                for cell in cells_now:
                    bar.finished(cell)


def _in_workers(config: Config, store: Store, stages: Sequence[Sequence[Cell]], workers: int, bar: Bar) -> None:
    """Hands one stage after the other to spawned one-thread processes; a failure, or an interrupt, stops them all."""
    context = multiprocessing.get_context("spawn")
    tasks, messages = context.Queue(), context.Queue()
    arguments = (config.as_dict(), store, tasks, messages)
    with _environment(ONE_THREAD):
        processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
        for process in processes:
            process.start()
    try:
        for stage in stages:
            for cell in stage:
                tasks.put(cell)
            _wait_for(len(stage), processes, messages, bar)
        for _ in processes:
            tasks.put(None)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _wait_for(left: int, processes: Sequence[Any], messages: Any, bar: Bar) -> None:
    """Returns once that many cells are done; raises what a worker raised."""
    while left:
        try:
            cell, state = messages.get(timeout=0.5)
        except queue.Empty:
            dead = [p for p in processes if p.exitcode not in (None, 0)]
            if dead:
                raise RuntimeError(f"a worker process ended with status {dead[0].exitcode}; out of memory?") from None
            continue
        if isinstance(state, BaseException):
            raise state
        if state is None:
            left -= 1
            bar.finished(cell)
        else:
            bar.moving(cell, *state)


def _work(plain: dict[str, Any], store: Store, tasks: Any, messages: Any) -> None:
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(1)
    config = parse(plain)
    parent = os.getppid()

    def go_on() -> None:
        if os.getppid() != parent:  # the parent was killed
            os._exit(1)

    while True:
        try:
            cell = tasks.get(timeout=1.0)
        except queue.Empty:
            go_on()
            continue
        if cell is None:
            return

        def report(*state: int, cell: Cell = cell) -> None:
            go_on()
            messages.put((cell, state))

        try:
            train_cells(config, store, [cell], report)
            messages.put((cell, None))
        except Exception as error:
            told = error if isinstance(error, BadInput) else RuntimeError(f"{type(error).__name__}: {error} ({cell})")
            messages.put((cell, told))
            return


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment of the processes started within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def time_left(gone: float, done: float) -> float | None:
    """Seconds left after `gone` seconds for a share `done` of the work; None while that says nothing yet.

    At most so many: a setting that converges has no more steps to take.
    """
    return gone * (1 - done) / done if gone >= MEANS[0] and done >= MEANS[1] else None


class Bar:
    """Progress on stderr, where that is a terminal: cells done, settings still moving, time left."""

    def __init__(self, total: int, done: int, shown: bool):
        self.fractions: dict[Cell, tuple[float, int]] = {}
        self.done, self.total, self.bar, self.last = done, total, None, 0.0
        self.held, self.began = done, time.monotonic()
        if not shown:
            return
        from tqdm import tqdm

        form = "{desc}: {percentage:3.0f}% |{bar}| {elapsed} gone{postfix}"
        self.bar = tqdm(total=total, initial=done, bar_format=form, desc="sweep", mininterval=0.5, disable=None)

    def moving(self, cell: Cell, step: int, steps: int, moving: int) -> None:
        self.fractions[cell] = (step / steps, moving)
        if time.monotonic() - self.last > 0.5:
            self._show()

    def finished(self, cell: Cell) -> None:
        self.fractions.pop(cell, None)
        self.done += 1
        self._show()

    def _show(self) -> None:
        self.last = time.monotonic()
        if self.bar is None or self.bar.disable:
            return
        self.bar.n = self.done + sum(fraction for fraction, _ in self.fractions.values())
        still = sum(moving for _, moving in self.fractions.values())
        share = (self.bar.n - self.held) / max(1, self.total - self.held)
        left = time_left(time.monotonic() - self.began, share)
        said = f"{self.done}/{self.total} cells done, {still} settings moving"
        if left is not None:
            said = f"{self.bar.format_interval(left)} left at most, {said}"
        self.bar.set_postfix_str(said, refresh=False)
        self.bar.refresh()


@contextmanager
def _bar(total: int, done: int, shown: bool) -> Iterator[Bar]:
    bar = Bar(total, done, shown)
    try:
        yield bar
    finally:
        if bar.bar is not None:
            bar.bar.close()
