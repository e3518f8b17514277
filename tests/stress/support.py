"""What all attacks share: how long they last, by which seed, who is killed, and what is told at the end."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
#: Of every random decision. Who is served when is up to the machine, so a run is like another one, and not the same.
SEED: Final = int(os.environ.get("COSTLAB_STRESS_SEED", "18"))
#: Seconds for all attacks together, beginnings and reckonings left out.
SECONDS: Final = float(os.environ.get("COSTLAB_STRESS_SECONDS", "60"))
ATTACKS: Final = 8
SHARE_S: Final = SECONDS / ATTACKS
#: Seconds after which a process that was asked to end hangs: no machine is so busy.
HANGS_S: Final = 120.0


class Worker:
    """A process of ``tests.stress``, which says what it did in lines of JSON, and ends when its input does.

    Parameters
    ----------
    module : str
        Of ``tests.stress``.
    job : dict
        What it is to do.
    """

    def __init__(self, module: str, job: dict[str, Any]) -> None:
        self.job = job
        #: Whole lines only: the last one of a process that was killed may be torn.
        self.said: list[dict[str, Any]] = []
        #: Lines that are no JSON, to be read when it is over: there are many.
        self.lines: list[bytes] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.stress.{module}", json.dumps(job)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, name="reader")
        self._reader.start()

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once; afterwards `said` is complete. Again is no error."""
        self._process.kill()
        self._end()

    def pause(self, seconds: float) -> None:
        """Stop it in the midst of whatever it does, and let it go on later."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """Ask it to finish what it does."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def finish(self) -> None:
        """Wait until it has finished; it must, and without an error."""
        self.ask_to_end()
        self._process.wait(HANGS_S)
        self._end()
        assert self._process.returncode == 0, f"{self.job} ended with {self._process.returncode}"

    def last(self, name: str, default: Any) -> Any:
        """What it said last of `name`."""
        return next((said[name] for said in reversed(self.said) if name in said), default)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.startswith(b"{"):
                self.lines.append(line)
            elif line.endswith(b"\n"):
                self.said.append(json.loads(line))

    def _end(self) -> None:
        self._process.wait()
        self._reader.join()
        self.ask_to_end()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Crew:
    """Workers that do the same, and what is done to them.

    Parameters
    ----------
    module : str
        Of ``tests.stress``.
    counts : Counter
        Counts kills and pauses.
    rng : Random
        Decides whose turn it is.
    """

    def __init__(self, module: str, counts: Counter[str], rng: random.Random) -> None:
        self._module, self._counts, self._rng = module, counts, rng
        self.workers: list[Worker] = []
        self.dead: list[Worker] = []

    def wait(self) -> None:
        """Until each has begun to work: the attack begins then, however long a busy machine takes."""
        ends = time.monotonic() + HANGS_S
        while not all(worker.said for worker in self.workers):
            assert time.monotonic() < ends, "the workers do not begin"
            time.sleep(0.01)

    def start(self, **job: Any) -> None:
        """One more worker; each gets a seed of its own."""
        self.workers.append(Worker(self._module, job | {"seed": self._rng.randrange(2**32)}))

    def kill_one(self, spared: int = 0) -> Worker:
        """Kill one in mid-work, seldom at its beginning, and return it; somebody else has to take its place.

        So many, the oldest, are `spared`: of them everything is known at the end.
        """
        mortal = self.workers[spared:]
        at_work = [worker for worker in mortal if worker.said]
        worker = self._rng.choice(at_work if at_work and self._rng.random() < 0.9 else mortal)
        self.workers.remove(worker)
        assert worker.lives, f"{worker.job} ended by itself"
        worker.kill()
        self.dead.append(worker)
        self._counts["kills"] += 1
        return worker

    def pause_one(self, longest_s: float) -> None:
        """Stop one in mid-work for a while."""
        self._rng.choice(self.workers).pause(self._rng.uniform(0, longest_s))
        self._counts["pauses"] += 1

    def finish(self) -> None:
        """Let all finish; they must."""
        for worker in self.workers:
            worker.ask_to_end()
        for worker in self.workers:
            worker.finish()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()


def until_over(rng: random.Random, shortest_s: float, longest_s: float) -> Iterator[float]:
    """Every now and then while the attack lasts: the seconds that are left."""
    ends = time.monotonic() + SHARE_S
    while (left_s := ends - time.monotonic()) > 0:
        yield left_s
        time.sleep(rng.uniform(shortest_s, longest_s))


class Mouth:
    """What a worker says, and whether it is to end; for the workers."""

    def __init__(self) -> None:
        self._over = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, **what: Any) -> None:
        """A line to whoever started this process, whole even where the process is killed right after."""
        self.line(json.dumps(what))

    def line(self, text: str) -> None:
        """A line that is no JSON, in one piece as well: shorter than what a pipe takes at once."""
        os.write(1, text.encode() + b"\n")

    @property
    def over(self) -> bool:
        """Whether it is time to end."""
        return self._over.is_set()

    def _listen(self) -> None:
        while os.read(0, 100):
            pass
        self._over.set()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to whose transaction a file belongs for now, as to another program's."""
    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("COMMIT")


@contextlib.contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes, as on a disk that is full."""
    import resource  # Windows has none

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
