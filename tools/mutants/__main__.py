"""Mutation testing of the pure core: ``python -m tools.mutants [GROUP ...] [--sample N --seed S]``.

What is changed and tested is in ``groups.py``, how it is changed in ``changes.py``. Prints for every module how many
changes a test noticed, and each that none did. ``equivalents.toml`` lists those that cannot be noticed, with the
reason; they are tried all the same, and one that is noticed after all is an error, as is one that is no longer there.

Verdicts are kept below ``_build/mutants`` as long as sources and tests stay as they are, so a run that was cut
off goes on. ``--again`` keeps what was killed though tests have changed: for while one writes them.
"""

import argparse
import hashlib
import json
import math
import os
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tools.mutants.changes import Change, walk
from tools.mutants.groups import GROUPS, ROOT, Group
from tools.mutants.trials import Baseline, Verdict, attempt, load_libraries, measure

HERE = Path(__file__).parent.relative_to(ROOT)
EQUIVALENTS = Path(__file__).with_name("equivalents.toml")


def equivalents() -> dict[str, str]:
    """The changes that no test can notice, with the reasons."""
    rows = tomllib.loads(EQUIVALENTS.read_text(encoding="utf-8"))["equivalent"]
    names = [(f"{row['in']}: {change}", row["reason"]) for row in rows for change in row["changes"]]
    if len(dict(names)) < len(names):
        raise ValueError(f"a change stands twice in {EQUIVALENTS}")
    return dict(names)


def digest(paths: tuple[str, ...]) -> str:
    """A digest of files, and of all Python files in folders."""
    whole = hashlib.sha256()
    for name in paths:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            whole.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()


class Kept:
    """The verdicts of a group so far, in a file that each is added to at once."""

    def __init__(self, file: Path, group: Group, again: bool) -> None:
        self._file = file
        head = {
            "sources": digest((*group.sources, f"{HERE}/changes.py")),
            "tests": digest((*group.tests, f"{HERE}/trials.py")),
        }
        self.verdicts: dict[str, Verdict] = {}
        if self._file.exists():
            first, *rows = [json.loads(line) for line in self._file.read_text(encoding="utf-8").splitlines()]
            if first == head or (again and first["sources"] == head["sources"]):
                self.verdicts = {row["change"]: Verdict(row["state"], row["by"]) for row in rows}
            if first != head:
                self.verdicts = {name: one for name, one in self.verdicts.items() if one.state == "killed"}
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [head, *(self._row(name, one) for name, one in self.verdicts.items())]
        self._file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    @staticmethod
    def _row(name: str, verdict: Verdict) -> dict[str, str]:
        return {"change": name, "state": verdict.state, "by": verdict.by}

    def add(self, change: Change, verdict: Verdict) -> None:
        """Keep one more."""
        self.verdicts[change.name] = verdict
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self._row(change.name, verdict)) + "\n")


def interval(hits: int, tries: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share."""
    if not tries:
        return 0.0, 1.0
    z, share = 1.959964, hits / tries
    middle, half = share + z * z / (2 * tries), z * math.sqrt(share * (1 - share) / tries + (z / (2 * tries)) ** 2)
    return (middle - half) / (1 + z * z / tries), (middle + half) / (1 + z * z / tries)


def report(name: str, changes: list[Change], verdicts: dict[str, Verdict], listed: dict[str, str], whole: int) -> float:
    """Print what became of a group's changes; the share of those that could be noticed that was."""
    counts: dict[str, Counter[str]] = {}
    for change in changes:
        state = "equivalent" if change.name in listed else verdicts[change.name].state
        counts.setdefault(change.module, Counter())[state] += 1
    total = Counter[str]()
    for count in counts.values():
        total.update(count)
    print(f"\n{name}: {len(changes)} of {whole} changes tried")
    for module, count in (*counts.items(), *([("together", total)] if len(counts) > 1 else [])):
        parts = ", ".join(f"{count[state]} {state}" for state in ("killed", "timeout", "survived", "equivalent"))
        print(f"  {module}: {parts}; {_share(count):.1%}")
    for change in changes:
        verdict = verdicts[change.name]
        if verdict.state == "survived" and change.name not in listed:
            because = f" ({verdict.by})" if verdict.by else ""
            print(f"  survived {change.module}:{change.line}: {change.function}: {change.what}{because}")
    if len(changes) < whole:
        noticed, tried = total["killed"] + total["timeout"], total.total() - total["equivalent"]
        low, high = interval(noticed, tried)
        print(f"  of all changes, {low:.1%} to {high:.1%} at 95 % confidence")
    return _share(total)


def _share(count: Counter[str]) -> float:
    tried = count.total() - count["equivalent"]
    return (count["killed"] + count["timeout"]) / tried if tried else 1.0


def run(name: str, asked: argparse.Namespace) -> tuple[float, list[str]]:
    """Try a group's changes: the share that was noticed, and what is wrong with the list of equivalents."""
    group, start = GROUPS[name], time.monotonic()
    everything = list(walk(ROOT, group.modules()))
    changes = [change for change in everything if asked.only is None or asked.only in change.name]
    if asked.sample is not None and asked.sample < len(changes):
        chosen = set(random.Random(asked.seed).sample(range(len(changes)), asked.sample))
        changes = [change for index, change in enumerate(changes) if index in chosen]
    kept, baseline = Kept(asked.folder / f"{name}.jsonl", group, asked.again), None
    for number, change in enumerate(changes, 1):
        if change.name not in kept.verdicts:
            baseline = baseline or _measured(name, group)
            kept.add(change, attempt(change, baseline))
            if sys.stderr.isatty():
                print(f"\r{name} {number}/{len(changes)}", end="", file=sys.stderr, flush=True)
    listed = equivalents()
    share = report(name, changes, kept.verdicts, listed, len(everything))
    known = {change.name for change in everything}
    wrong = [
        f"listed, but no longer a change: {one}"
        for one in listed
        if one.split("::")[0] in group.modules() and one not in known
    ]
    wrong += [
        f"listed as equivalent, but noticed by {kept.verdicts[one].by}: {one}"
        for one in listed
        if one in kept.verdicts and kept.verdicts[one].state == "killed"
    ]
    print(f"  in {time.monotonic() - start:.0f} s", flush=True)
    return share, wrong


def _measured(name: str, group: Group) -> Baseline:
    baseline = measure(group)
    print(f"{name}: {len(baseline.seconds)} tests take {sum(baseline.seconds.values()):.1f} s", flush=True)
    return baseline


def main() -> int:
    """Try the changes; 1 when too few of them were noticed, or the list of equivalents is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Mutation testing of the pure core.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all by default")
    parser.add_argument("--sample", type=int, metavar="N", help="try only N changes of each group")
    parser.add_argument("--seed", type=int, default=0, help="which N")
    parser.add_argument("--only", metavar="TEXT", help="try only changes with this in 'module::function: a → b'")
    parser.add_argument("--again", action="store_true", help="keep what was killed, though tests have changed since")
    parser.add_argument("--folder", type=Path, default=ROOT / "_build" / "mutants", help="where verdicts are kept")
    parser.add_argument("--at-least", type=float, default=0.85, metavar="SHARE", help="what must be noticed")
    asked = parser.parse_args()
    if unknown := set(asked.groups) - set(GROUPS):
        parser.error(f"no group named {', '.join(sorted(unknown))}")
    load_libraries()
    wrong: list[str] = []
    for name in asked.groups or GROUPS:
        share, lies = run(name, asked)
        wrong += lies
        if share < asked.at_least:
            wrong.append(f"{name}: {share:.1%} of the changes were noticed, less than {asked.at_least:.0%}")
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
