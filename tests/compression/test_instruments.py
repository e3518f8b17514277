"""Instruments of a GPU, on a stand-in for one: what is asked of it, and in which order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from costlab.compression.instruments import graphed
from tests import needs


def test_on_a_processor_a_call_stays_what_it_is() -> None:
    def call() -> int:
        return 1

    assert graphed(call, "cpu") == (call, "")


class Cuda:
    """Keeps a list of what was done; a capture fails if it is told to."""

    def __init__(self, refuses: bool = False) -> None:
        self.did: list[str] = []
        self._refuses = refuses

    def replace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        wait = SimpleNamespace(wait_stream=lambda _: self.did.append("wait"))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: wait)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: wait)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.did.append("synchronize"))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: self.did.append("replay")))
        monkeypatch.setattr(torch.cuda, "stream", self._stream)
        monkeypatch.setattr(torch.cuda, "graph", self._graph)

    @contextmanager
    def _stream(self, _: Any) -> Iterator[None]:
        self.did.append("aside")
        yield

    @contextmanager
    def _graph(self, _: Any, **options: Any) -> Iterator[None]:
        assert options == {"capture_error_mode": "thread_local"}
        self.did.append("capture")
        yield
        if self._refuses:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")


def counted(cuda: Cuda) -> Callable[[], int]:
    def call() -> int:
        cuda.did.append("call")
        return cuda.did.count("call")

    return call


def test_a_graph_is_captured_after_warming_up_and_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("torch", "models")
    cuda = Cuda()
    cuda.replace(monkeypatch)
    replay, how = graphed(counted(cuda), "cuda")
    assert how == "CUDA graph"
    assert cuda.did == ["wait", "aside", "call", "call", "call", "wait", "synchronize", "capture", "call"]
    assert (replay(), replay()) == (4, 4)  # what the captured call returned, filled anew
    assert cuda.did[-2:] == ["replay", "replay"]


def test_what_cannot_be_captured_runs_as_it_is_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("torch", "models")
    cuda = Cuda(refuses=True)
    cuda.replace(monkeypatch)
    call = counted(cuda)
    assert graphed(call, "cuda") == (call, "no CUDA graph: operation not permitted when stream is capturing")
