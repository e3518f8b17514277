"""Tries: each in a process forked from one that has loaded pytest and the libraries, but nothing of the package.

There the changed text stands for the module's own while it is imported, and those tests run that reach the changed
lines, quickest first, until one fails. Hypothesis draws the same examples each time. Time is limited in seconds of
CPU, so that a busy machine decides nothing.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from tools.mutants.changes import Change
from tools.mutants.groups import ROOT, Group

#: Loaded before the fork; the package's own modules must not be among them, nor what starts threads.
LIBRARIES = (
    "anyio.pytest_plugin",
    "hypothesis.extra.numpy",
    "hypothesis.extra.pytestplugin",
    "jinja2",
    "msgpack",
    "numpy",
    "pandas",
    "pydantic",
    "pydantic_core",
    "typer",
)
#: CPU seconds on top of twice what the tests take on the unchanged code.
GRACE_S = 2
#: Bytes that a try may ask for beyond what its parent holds.
MEMORY_BYTES = 4 * 1024**3
#: What pytest is called with. Plain assertions, since the rewriting of them also takes modules that are named for their
#: doctests, and would read those from their files. Of other plugins only the two that the tests ask for.
OPTIONS = (
    *("-q", "-x", "-p", "no:cacheprovider", "-p", "anyio.pytest_plugin", "-p", "_hypothesis_pytestplugin"),
    *("-m", "not slow and not redis and not browser and not gpu"),
    "--assert=plain",
)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the tests do on the unchanged code.

    Attributes
    ----------
    seconds : dict
        CPU seconds of each test.
    reached : dict
        By module and line, the tests that reach it; an empty name is the import.
    start_s : float
        CPU seconds of a try that are no test's: importing and collecting.
    """

    seconds: dict[str, float]
    reached: dict[str, dict[int, list[str]]]
    start_s: float

    def tests_for(self, change: Change) -> list[str]:
        """The tests that can notice a change, quickest first; all of them where it takes part in the import."""
        by_line = self.reached.get(change.module, {})
        names = {name for line in range(change.lines[0], change.lines[1] + 1) for name in by_line.get(line, [])}
        return sorted(self.seconds if "" in names else names, key=lambda name: (self.seconds[name], name))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a change: ``killed``, ``timeout`` or ``survived``, and the test that noticed it first."""

    state: str
    by: str = ""


def load_libraries() -> None:
    """Import what every try needs, once."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.collect()
    gc.freeze()
    ours = [name for name in sys.modules if name.split(".")[0] == "costlab"]
    if ours:
        raise RuntimeError(f"already imported, so that no change would show: {', '.join(ours)}")


def measure(group: Group) -> Baseline:
    """Run a group's tests on the unchanged code, and note which lines each of them reaches."""
    answer = _in_child(functools.partial(_measured, group), limit_s=1800)
    if not isinstance(answer.said, dict):
        raise RuntimeError(f"the tests of {', '.join(group.tests)} fail on the unchanged code: {answer.said or answer}")
    reached = {
        module: {int(line): tests for line, tests in lines.items()} for module, lines in answer.said["reached"].items()
    }
    return Baseline(answer.said["seconds"], reached, answer.said["start_s"])


def attempt(change: Change, baseline: Baseline) -> Verdict:
    """Make a change, and run the tests that can notice it."""
    tests = baseline.tests_for(change)
    if not tests:
        return Verdict("survived", "no test reaches it")
    usual = baseline.start_s + sum(baseline.seconds[name] for name in tests)
    answer = _in_child(functools.partial(_tried, change, tests), limit_s=int(2 * usual + GRACE_S))
    if answer.timed_out:
        return Verdict("timeout")
    if answer.said == "passed":
        return Verdict("survived")
    return Verdict("killed", answer.said if isinstance(answer.said, str) else "import")


# In the parent.


@dataclass(frozen=True, slots=True)
class _Answer:
    said: Any
    timed_out: bool


def _in_child(work: Callable[[], Any], limit_s: int) -> _Answer:
    """What a function returns in a process of its own, as JSON; None when that died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            _alone(limit_s)
            try:
                said = json.dumps(work())
            except Exception as problem:
                said = json.dumps(f"{type(problem).__name__}: {problem}")
            with os.fdopen(writing, "w") as pipe:
                pipe.write(said)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    # A try that sleeps or waits for a lock uses no CPU: by the clock it is given up far later.
    timed_out = False
    text = b""
    deadline = time.monotonic() + 10 * limit_s
    with os.fdopen(reading, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        while True:
            part = pipe.read()
            text += part or b""
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                text += pipe.read() or b""
                break
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                status, timed_out = signal.SIGKILL, True
                break
            time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
        timed_out = True
    return _Answer(json.loads(text) if text else None, timed_out)


# In the child.


def _alone(limit_s: int) -> None:
    os.setpgid(0, 0)
    os.chdir(ROOT)
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + limit_s
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY_BYTES, held + MEMORY_BYTES))
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    from hypothesis import settings

    # What the suite's own profile does not set, it takes from this one.
    settings.register_profile("the same each time", derandomize=True, database=None)
    settings.load_profile("the same each time")


def _tried(change: Change, tests: list[str]) -> str:
    """Run tests on a changed module: ``passed``, or what failed first."""
    path = ROOT / change.module
    _replace(str(path), compile(change.apply(path.read_bytes()), str(path), "exec", dont_inherit=True))
    plugin = _Selection(tests)
    status = pytest.main([*OPTIONS, *_files(tests)], plugins=[plugin])
    if status == pytest.ExitCode.OK:
        return "passed"
    return plugin.failed or f"pytest says {status.name if isinstance(status, pytest.ExitCode) else status}"


def _replace(path: str, code: CodeType) -> None:
    loader: Any = SourceFileLoader
    usual = loader.get_code

    def get_code(self: Any, name: str) -> Any:
        return code if self.get_filename(name) == path else usual(self, name)

    loader.get_code = get_code


def _files(tests: list[str]) -> list[str]:
    return sorted({name.split("::")[0] for name in tests})


class _Selection:
    """Runs chosen tests in their order, and remembers the first that fails."""

    def __init__(self, tests: list[str]) -> None:
        self._rank = {name: rank for rank, name in enumerate(tests)}
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self._rank), key=lambda i: self._rank[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def _measured(group: Group) -> dict[str, object] | str:
    from coverage import Coverage

    modules = group.modules()
    coverage = Coverage(data_file=None, include=[str(ROOT / module) for module in modules], config_file=False)
    plugin = _Measurement(coverage)
    coverage.start()
    status = pytest.main([*OPTIONS, *group.tests], plugins=[plugin])
    coverage.stop()
    if status != pytest.ExitCode.OK:
        return plugin.failed or str(status)
    data = coverage.get_data()
    reached = {module: data.contexts_by_lineno(str(ROOT / module)) for module in modules}
    return {
        "seconds": plugin.seconds,
        "reached": reached,
        "start_s": time.process_time() - sum(plugin.seconds.values()),
    }


class _Measurement:
    """Tells the coverage which test runs, and takes its time."""

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}
        self.failed = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        _forget()
        self._coverage.switch_context(item.nodeid)
        start = time.process_time()
        result = yield
        self.seconds[item.nodeid] = round(time.process_time() - start, 4)
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid + "\n" + str(report.longrepr)


def _forget() -> None:
    """Empty the caches of the package's functions, or only the first test would seem to reach them."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "costlab":
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
