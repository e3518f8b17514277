"""Running the plan: a worker measures one step after the other, and what it says is kept before the next begins.

The worker is a process of its own. One that crashes, hangs or leaves the GPU in a state of error costs its step a row
with the reason; a new worker does the others. The worker ends when this process does, however that ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from costlab.errors import CostlabError
from costlab.recordings import Recording, find_device, save_recording
from tools.gpu_kit.plan import Asked, Stage, Step, plan

ROOT: Final = Path(__file__).parents[2]

#: What was measured, a line for each step, and what the worker said beside it.
JOURNAL: Final = "kit.jsonl"
LOG: Final = "kit.log"

#: With less time than this no further step is begun.
LEAST_S: Final = 20.0

#: Before the end of the call a step under way is ended, so that all is written by then.
MARGIN_S: Final = 3.0

#: The exit status when steps are left.
STEPS_LEFT: Final = 3


class KitError(CostlabError, RuntimeError):
    """The folder holds something else than what is asked for."""


class Journal:
    """The steps that are done or failed, in a file to which each is added as soon as it is known.

    Parameters
    ----------
    path : Path
        The file; made where there is none. A line that was torn by the end of a process is dropped.
    asked : Asked
        What is measured; a journal of another device or of a dry run is refused.
    """

    def __init__(self, path: Path, asked: Asked) -> None:
        self._path = path
        self.done: dict[str, Recording] = {}
        self.failed: dict[str, str] = {}
        self._about = {"device": find_device(asked.device).short_name, "tiny": asked.tiny}
        entries = list(self._entries())
        if entries and entries[0] != self._about:
            raise KitError(f"{path.name} is of {entries[0]}, and this is {self._about}: take another folder")
        if not entries:
            self._add(self._about)
        for entry in entries[1:]:
            self._take(entry)

    def _entries(self) -> Iterable[dict[str, Any]]:
        if not self._path.exists():
            return
        text = self._path.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        if torn:
            os.truncate(self._path, len(whole.encode()) + bool(whole))
        for line in whole.splitlines():
            yield json.loads(line)

    def _take(self, entry: Mapping[str, Any]) -> None:
        name = entry["step"]
        if entry["reason"]:
            self.failed[name] = entry["reason"]
            return
        recorded = entry["recording"]
        self.failed.pop(name, None)
        self.done[name] = Recording(**{**recorded, "rows": tuple(recorded["rows"])})

    def _add(self, entry: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def add(self, step: str, took_s: float, *, recording: Mapping[str, Any] | None = None, reason: str = "") -> None:
        """Keep what became of a step."""
        entry = {"step": step, "at": time.strftime("%FT%TZ", time.gmtime()), "took_s": round(took_s, 1)}
        entry |= {"reason": reason, "recording": recording}
        self._add(entry)
        self._take(entry)

    def has(self, step: str) -> bool:
        """Whether it is known what became of a step."""
        return step in self.done or step in self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop.

    Attributes
    ----------
    total_s, step_s : float
        Seconds for the whole call, and for a step.
    retry : bool
        Whether steps that failed before are tried again.
    """

    total_s: float = 500.0
    step_s: float = 170.0
    retry: bool = False


def run(
    names: Iterable[str],
    folder: Path,
    asked: Asked,
    limits: Limits,
    *,
    say: Callable[[str], None] = print,
    started_s: float | None = None,
) -> int:
    """Measure what is left of some stages, and write the recordings of what is done.

    Returns 0 where nothing is left, and 3 where time ran out before; then the same call goes on.
    """
    ends_s = (time.monotonic() if started_s is None else started_s) + limits.total_s
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / JOURNAL, asked)
    wanted = set(names)
    stages = [stage for stage in plan(asked) if stage.name in wanted]
    left = 0
    with contextlib.ExitStack() as stack:
        worker = _Worker(asked, folder)
        stack.callback(worker.stop)
        for stage in stages:
            steps = [s for s in stage.steps if not journal.has(s.name) or (limits.retry and s.name in journal.failed)]
            for step in steps:
                remaining_s = ends_s - time.monotonic()
                if remaining_s < min(LEAST_S, limits.total_s / 5):
                    left += 1
                    continue
                left += not _measured(worker, journal, step, limits.step_s, ends_s, say)
                _write(stage, journal, folder)
            for line in stage.told(_write(stage, journal, folder)):
                say(line)
    failed = sum(step.name in journal.failed for stage in stages for step in stage.steps)
    total = sum(len(stage.steps) for stage in stages)
    say(f"{total - left - failed} of {total} steps measured, {failed} with a reason instead, {left} left")
    return STEPS_LEFT if left else 0


def _measured(
    worker: _Worker, journal: Journal, step: Step, step_s: float, ends_s: float, say: Callable[[str], None]
) -> bool:
    """Measure a step; False where the call's time ran out, and the step is for the next call."""
    began_s = time.monotonic()
    answer = worker.measure(step.name, journal.done, step_s, ends_s)
    took_s = time.monotonic() - began_s
    now = time.strftime("%H:%M:%S")
    if answer is None:
        say(f"{now} {took_s:5.0f} s  {step.name}: stopped, time is up")
        return False
    if answer.get("reason"):
        journal.add(step.name, took_s, reason=answer["reason"])
        say(f"{now} {took_s:5.0f} s  {step.name}: not measured: {answer['reason']}")
    else:
        journal.add(step.name, took_s, recording=answer["recording"])
        for line in answer["lines"]:
            say(f"{now} {took_s:5.0f} s  {step.name}: {line}")
    return True


def _write(stage: Stage, journal: Journal, folder: Path) -> list[Recording]:
    """The recordings of what is done of a stage, written."""
    done = {step.name: journal.done[step.name] for step in stage.steps if step.name in journal.done}
    if not done:
        return []
    made = stage.joined(stage.steps, done, journal.failed)
    for recording in made:
        save_recording(recording, folder)
    return made


class _Worker:
    """The process that measures, started when it is needed."""

    def __init__(self, asked: Asked, folder: Path) -> None:
        self._asked, self._log = asked, folder / LOG
        self._process: subprocess.Popen[str] | None = None
        self._said: queue.Queue[str | None] = queue.Queue()

    def measure(self, step: str, done: Mapping[str, Recording], step_s: float, ends_s: float) -> dict[str, Any] | None:
        """What the worker says of a step; None where the call's time was up before.

        A step that takes too long is ended with the worker.
        """
        said: str | None = ""
        process, left_s = self._process, ends_s - time.monotonic() - MARGIN_S
        if process is None or process.poll() is not None:
            process = self._start()
            try:
                said = self._said.get(timeout=max(left_s, 0.1))  # that it is ready, or nothing: it has ended already
            except queue.Empty:
                self.stop()
                return None
        if said is not None:
            floors = {name: asdict(recording) for name, recording in done.items() if recording.experiment == "device"}
            left_s = ends_s - time.monotonic() - MARGIN_S
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps({"step": step, "done": floors}) + "\n")
                process.stdin.flush()
                said = self._said.get(timeout=max(min(step_s, left_s), 0.1))
            except queue.Empty:
                self.stop()
                return {"reason": f"it took longer than {step_s:g} s"} if step_s < left_s else None
            except BrokenPipeError:
                said = None
        if said is None:
            status = process.wait()
            how = f"signal {-status}" if status < 0 else f"status {status}"
            last = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            self.stop()
            return {"reason": " ".join([f"the process ended with {how};", *last])[:300]}
        answer: dict[str, Any] = json.loads(said)
        if answer.pop("broken", False):
            self.stop()
        return answer

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tools.gpu_kit", "work", json.dumps(asdict(self._asked))]
        paths = [str(ROOT), *(path for path in sys.path if path)]
        environment = {
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "PYTHONUNBUFFERED": "1",
        }
        with self._log.open("a", encoding="utf-8") as log:
            # In a session of its own, so that what it starts to compile ends with it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
        assert process.stdout is not None
        self._process, self._said = process, queue.Queue()
        threading.Thread(target=_forward, args=(process.stdout, self._said), daemon=True).start()
        return process

    def stop(self) -> None:
        """End the process and what it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _forward(stream: IO[str], said: queue.Queue[str | None]) -> None:
    with contextlib.suppress(ValueError):  # closed by whoever ended the process
        for line in stream:
            said.put(line)
    said.put(None)


def work(asked: Asked) -> None:
    """The worker: steps come in by stdin, a line each, and what became of them goes out by stdout."""
    # Libraries print; only answers may come through what was stdout.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    orders: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    steps = {step.name: step for stage in plan(asked) for step in stage.steps}
    answers.write("ready\n")
    answers.flush()
    while True:
        order = json.loads(orders.get())
        done = {name: Recording(**{**one, "rows": tuple(one["rows"])}) for name, one in order["done"].items()}
        answer = _answer(steps[order["step"]], done)
        if _is_broken(asked.device):
            answer["broken"] = True
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(orders: queue.Queue[str]) -> None:
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)  # whoever asked is gone


def _answer(step: Step, done: Mapping[str, Recording]) -> dict[str, Any]:
    from costlab.compression.quantization import one_line
    from costlab.experiments.registry import find_experiment

    try:
        recording = step.call(done)
        rows = [row for row in recording.rows if row.get("what") != "run"]
        reasons = [str(row.get("reason", "")) for row in rows]
        if all(reasons):
            return {"reason": reasons[0]}
        json.dumps(asdict(recording), allow_nan=False)
        # Without the first, which says where and when.
        lines = list(find_experiment(recording.experiment).recorded_lines(recording))[1:]
    except Exception as error:
        print(f"{step.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {"reason": one_line(error)}
    return {"recording": asdict(recording), "lines": lines}


def _is_broken(device: str) -> bool:
    """Whether an error of the GPU stays, so that only a new process can use it."""
    gc.collect()
    if device != "cuda":
        return False
    try:
        from torch import cuda

        cuda.synchronize()
        cuda.empty_cache()
    except Exception:
        return True
    return False


def parsed(text: str) -> Asked:
    """What the caller chose, as the worker is told."""
    return replace(Asked(), **json.loads(text))
