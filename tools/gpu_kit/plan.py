"""What the kit measures: stages, most valuable first, each of steps that stand alone, and how they become recordings.

A step is a small run of an experiment of ``costlab bench``. What it returns is kept as a recording of that run, and the
recordings of a stage's steps are put together into the ones that the book shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from costlab.compression import LLAMA_SHAPES, SCHEMES, BenchmarkResult, BenchmarkRow
from costlab.compression.results import together
from costlab.experiments import (
    DECODE_SCHEMES,
    DecodeResult,
    DecodeRow,
    ServingResult,
    ServingRow,
    SparseResult,
    SparseRow,
    decode_study,
    measure_device,
    pruning_study,
    quantization_study,
    serving_study,
    sparse_study,
)
from costlab.experiments.decode import BATCH_SIZES, decode_steps
from costlab.experiments.sparse import SPARSE_KINDS, TOKENS, feed_forward
from costlab.recordings import Recording, bench_command

#: The stages in order, and what each tells.
STAGES: Final[Mapping[str, str]] = {
    "device": "copying, reading, matrix products by precision, launches, power and clocks",
    "decode": "a Llama-3-8B shape with random weights under each scheme, decode and prefill, beside their floors",
    "sparse": "2:4 kernels on the matrices of its feed-forward part",
    "quality": "SmolLM2 and MiniLM under every scheme, and MiniLM pruned in the pattern 2:4",
    "serving": "a serving engine that is running already, by the number of requests in flight",
}

#: For each scheme what a GPU should reach with one sequence: a share of the bandwidth floor, or times as fast as bf16.
GOALS: Final = {"bf16": 0.75, "int8-weight-only": 1.6, "int4-weight-only": 2.5}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller chose.

    Attributes
    ----------
    device : str
        ``cuda`` or ``cpu``.
    tiny : bool
        Small shapes, for a dry run.
    url, engine, served : str
        Address of a running server up to its version; what it is, with its version; and the model that it serves, by
        its name in ``costlab.serving``, for the floor.
    """

    device: str = "cuda"
    tiny: bool = False
    url: str = ""
    engine: str = ""
    served: str = ""


#: Results of steps, and reasons of those that failed, by name and in the order of the plan.
Done = Mapping[str, Recording]
Failed = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a stage that is measured or fails by itself.

    Attributes
    ----------
    name : str
        Unique in the plan.
    call : callable
        Measures, given the recordings of steps done before.
    rows : tuple
        Its rows as they are where it could not run at all, without their reasons.
    experiment : str
        What it is a run of.
    """

    name: str
    call: Callable[[Done], Recording]
    rows: tuple[Any, ...] = ()
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps that are put together.

    Attributes
    ----------
    name, steps : str, tuple of Step
        One of ``STAGES``; in the order in which they run.
    joined : callable
        Makes the recordings of what is done by now.
    told : callable
        Lines on a recording: what was measured beside what was hoped for.
    """

    name: str
    steps: tuple[Step, ...]
    joined: Callable[[Sequence[Step], Done, Failed], list[Recording]]
    told: Callable[[Sequence[Recording]], Iterator[str]] = field(default=lambda _: iter(()))


def plan(asked: Asked) -> tuple[Stage, ...]:
    """The stages in order."""
    return (_device(asked), _decode(asked), _sparse(asked), _quality(asked), _serving(asked))


def _device(asked: Asked) -> Stage:
    options: dict[str, Any] = {"repeats": 5, "copy_mib": 8, "size": 128} if asked.tiny else {}

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        return list(done.values())

    return Stage("device", (Step("device", lambda _: measure_device(asked.device, **options)),), joined)


def _decode(asked: Asked) -> Stage:
    on_gpu = asked.device == "cuda"
    schemes = ("fp32", "int8-weight-only") if asked.tiny else DECODE_SCHEMES[asked.device]
    batches = (1, 4) if asked.tiny else BATCH_SIZES
    options: dict[str, Any] = {
        "model": "small" if asked.tiny or not on_gpu else "llama-3-8b",
        "device": asked.device,
        "context": 32 if asked.tiny else 1024,
        "repeats": 5 if asked.tiny else 9,
        "compiled": on_gpu and not asked.tiny,
        "progress": False,
    }

    def measured(scheme: str, phase: str, batch: int, done: Done) -> Recording:
        result = decode_study(schemes=[scheme], phases=[phase], batch_sizes=[batch], **options)
        # Beside itself alone it is no faster or slower.
        result = replace(result, rows=tuple(replace(row, speedup=None) for row in result.rows))
        return result.to_recording(command(result))

    def command(result: DecodeResult) -> str:
        chosen = {name: options[name] for name in ("device", "model")}
        chosen |= {"scheme": list(dict.fromkeys(row.scheme for row in result.rows))}
        chosen |= {"batch": sorted({row.batch for row in result.rows})}
        chosen |= {"phase": list(dict.fromkeys(row.phase for row in result.rows))}
        chosen |= {name: options[name] for name in ("context", "repeats")}
        return bench_command("decode", {**chosen, "seed": result.seed})

    # What matters most of every scheme comes before the rest of any.
    first, *others = decode_steps(batches)
    steps = tuple(
        Step(
            f"decode {scheme} {phase} {batch}",
            partial(measured, scheme, phase, batch),
            (DecodeRow(scheme=scheme, phase=phase, batch=batch, tokens=options["context"]),),
            "decode",
        )
        for phase, batch in (first, *reversed(others))
        for scheme in schemes
    )

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        results = [DecodeResult.from_recording(recording) for recording in done.values()]
        if not any(row.median for result in results for row in result.rows):
            return []
        results = [
            DecodeResult.from_recording(done[step.name])
            if step.name in done
            else replace(results[0], rows=_with_reason(step, failed[step.name]))
            for step in steps
            if step.name in done or step.name in failed
        ]
        whole = DecodeResult.together(results)
        return [whole.to_recording(command(whole))]

    def told(recordings: Sequence[Recording]) -> Iterator[str]:
        for recording in recordings:
            for row in DecodeResult.from_recording(recording).rows:
                goal = GOALS.get(row.scheme)
                if goal is None or row.median is None or (row.phase, row.batch) != ("decode", 1):
                    continue
                if row.scheme == "bf16":
                    yield f"goal: bf16 at batch 1 takes {row.mbu_fraction:.0%} of the bandwidth, wanted {goal:.0%}"
                elif row.speedup is not None:
                    yield f"goal: {row.scheme} at batch 1 is {row.speedup:.2f}x as fast as the first, wanted {goal}x"

    return Stage("decode", steps, joined, told)


def _sparse(asked: Asked) -> Stage:
    on_gpu = asked.device == "cuda"
    options: dict[str, Any] = {
        "model": "small" if asked.tiny or not on_gpu else "llama-3-8b",
        "device": asked.device,
        "repeats": 5 if asked.tiny else 9,
        "progress": False,
    }

    def command(result: SparseResult) -> str:
        chosen = {name: options[name] for name in ("device", "model")}
        chosen |= {"tokens": sorted({row.tokens for row in result.rows}), "repeats": options["repeats"]}
        return bench_command("sparse", {**chosen, "seed": result.seed})

    def measured(count: int, done: Done) -> Recording:
        result = sparse_study(tokens=[count], **options)
        return result.to_recording(command(result))

    def blank(count: int) -> tuple[SparseRow, ...]:
        matrices = feed_forward(LLAMA_SHAPES[options["model"]]).items()
        return tuple(
            SparseRow(layer=layer, rows=rows, columns=columns, kind=kind, tokens=count)
            for layer, (rows, columns) in matrices
            for kind in SPARSE_KINDS
        )

    steps = tuple(
        Step(f"sparse {count} tokens", partial(measured, count), blank(count), "sparse")
        for count in ((1, 8) if asked.tiny else TOKENS)
    )

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        results = [SparseResult.from_recording(recording) for recording in done.values()]
        if not any(row.median for result in results for row in result.rows):
            return []
        rows = [replace(results[0], rows=_with_reason(s, failed[s.name])) for s in steps if s.name in failed]
        whole = SparseResult.together([*results, *rows])
        return [whole.to_recording(command(whole))]

    return Stage("sparse", steps, joined)


def _quality(asked: Asked) -> Stage:
    first = "bf16" if asked.device == "cuda" else "fp32"
    schemes = ("bf16",) if asked.tiny else tuple(name for name in SCHEMES if name != first)
    measuring: dict[str, Any] = {
        "device": asked.device,
        "batch_sizes": [1] if asked.tiny else [1, 32],
        "repeats": 3 if asked.tiny else 7,
        "progress": False,
    }
    small: dict[str, dict[str, Any]] = {"minilm": {"examples": 1, "n_test": 1}, "smollm2": {"tokens": 64, "window": 32}}
    titles = {"minilm": "all-MiniLM-L6-v2", "smollm2": "SmolLM2-135M-Instruct"}

    def command(experiment: str, result: BenchmarkResult, **chosen: object) -> str:
        common = {"batch": measuring["batch_sizes"], "repeats": measuring["repeats"], "seed": result.seed}
        return bench_command(experiment, {"device": asked.device, **chosen, **common})

    def quantized(model: str, scheme: str, done: Done) -> Recording:
        options = small[model] if asked.tiny else {}
        result = quantization_study([model], schemes=[first, scheme], **measuring, **options)
        return result.to_recording(command("quantization", result, model=[model], scheme=[first, scheme]))

    def pruned(done: Done) -> Recording:
        options = small["minilm"] if asked.tiny else {}
        tuning = 0 if asked.tiny else 60
        result = pruning_study(["minilm"], patterns=["2:4"], steps=tuning, **measuring, **options)
        return result.to_recording(command("pruning", result, model=["minilm"], pattern=["2:4"], steps=tuning))

    steps = [
        Step(
            f"quality {model} {scheme}",
            partial(quantized, model, scheme),
            (BenchmarkRow(model=titles[model], variant=scheme),),
            "quantization",
        )
        for model in titles
        for scheme in schemes
    ]
    steps.append(Step("quality minilm 2:4", pruned, experiment="pruning"))

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        recordings = [recording for recording in done.values() if recording.experiment == "pruning"]
        results = [BenchmarkResult.from_recording(r) for r in done.values() if r.experiment == "quantization"]
        if not results:
            return recordings
        known = {row.model for result in results for row in result.rows}
        lost = [_with_reason(s, failed[s.name]) for s in steps if s.name in failed and s.rows]
        whole = together([*results, *(replace(results[0], rows=rows) for rows in lost if rows[0].model in known)])
        # Each step measured the baseline beside its scheme; the first of them stays.
        rows = {(row.model, row.variant): row for row in reversed(whole.rows)}
        order = sorted(rows.values(), key=lambda row: (list(titles.values()).index(row.model), whole.rows.index(row)))
        whole = replace(whole, rows=tuple(order))
        models = [model for model, title in titles.items() if title in known]
        return [whole.to_recording(command("quantization", whole, model=models)), *recordings]

    return Stage("quality", tuple(steps), joined)


def _serving(asked: Asked) -> Stage:
    options: dict[str, Any] = {"input_tokens": 16, "output_tokens": 8} if asked.tiny else {}

    def command(result: ServingResult) -> str:
        chosen: dict[str, object] = {"url": asked.url, "model": result.model, "engine": result.engine}
        chosen |= {"concurrency": [row.concurrency for row in result.rows]}
        names = ("input_tokens", "output_tokens", "repeats", "seed")
        return bench_command("serving", {**chosen, **{name: getattr(result, name) for name in names}})

    def measured(level: int, done: Done) -> Recording:
        if not asked.url:
            raise RuntimeError("no server was named: start one and give its --url")
        floors = _floors_s(asked, level, done, options.get("input_tokens", 512) + options.get("output_tokens", 128) / 2)
        result = serving_study(asked.url, engine=asked.engine, concurrencies=[level], floors_s=floors, **options)
        return result.to_recording(command(result))

    steps = tuple(
        Step(f"serving {level} in flight", partial(measured, level), (ServingRow(concurrency=level),), "serving")
        for level in ((1, 4) if asked.tiny else (1, 4, 16, 64))
    )

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        results = [ServingResult.from_recording(recording) for recording in done.values()]
        if not any(row.median for result in results for row in result.rows):
            return []
        lost = [row for s in steps if s.name in failed for row in _with_reason(s, failed[s.name])]
        rows = sorted([row for result in results for row in result.rows] + lost, key=lambda row: row.concurrency)
        whole = replace(results[0], rows=tuple(rows))
        return [whole.to_recording(command(whole))]

    return Stage("serving", steps, joined)


def _floors_s(asked: Asked, level: int, done: Done, context: float) -> dict[int, float]:
    """Least seconds of a token, from the bandwidth that the first stage measured; empty where a part is not known."""
    from costlab.serving import model_spec

    rows = [row for one in done.values() if one.experiment == "device" for row in one.rows]
    fastest = max((row["median"] for row in rows if row["quantity"] in ("copy", "read")), default=0.0)
    if not (asked.served and fastest):
        return {}
    spec = model_spec(asked.served)
    cache = level * context * spec.kv_bytes_per_token
    weights = spec.weights_read(level) * spec.bytes_per_weight
    return {level: (weights + cache) / (1e9 * fastest)}


def _with_reason(step: Step, reason: str) -> tuple[Any, ...]:
    """The rows of a step that failed."""
    return tuple(replace(row, reason=reason) for row in step.rows)
