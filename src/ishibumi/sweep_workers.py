"""Where the jobs of a sweep are done: here, or in processes that each have a GPU, or a share of one device's cores."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.queues import Queue
from typing import Any

from ishibumi.corpus_stage import Silent, Watch

_stop_asked = False  # in a worker process: Ctrl-C reaches it too, and training writes its checkpoint before it stops


def workers(parallel: int, watch: Watch) -> tuple[Executor, Watch]:
    """`parallel` processes with the GPUs in turn, or this very process for one at a time; and whom its jobs tell."""
    if parallel == 1:
        return _Here(), watch
    context = multiprocessing.get_context("spawn")
    gpus: Queue[str] = context.Queue()
    names = visible_gpus() or [""]
    for number in range(parallel):
        gpus.put(names[number % len(names)])
    threads = max(1, (os.cpu_count() or 1) // parallel)
    pool = ProcessPoolExecutor(parallel, mp_context=context, initializer=_start, initargs=(gpus, threads))
    return pool, _InWorker()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]


def _start(gpus: "Queue[str]", num_threads: int) -> None:
    """Set up a worker before CUDA starts in it."""
    import torch

    if gpu := gpus.get():
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(num_threads)
    signal.signal(signal.SIGINT, _ask_to_stop)


def _ask_to_stop(*_: Any) -> None:
    global _stop_asked
    _stop_asked = True


class _InWorker(Silent):
    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return _stop_asked


class _Here(Executor):
    """Does each job when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))  # what it raises is raised here
        return future
