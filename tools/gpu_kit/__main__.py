"""The command: ``python -m tools.gpu_kit pack|run``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

#: What the machine lacks is unpacked here, and imported from here before what is installed.
SITE = Path("/tmp/costlab-gpu-kit")


def main(words: list[str] | None = None) -> int:
    """Pack the luggage here, or run the kit there."""
    started_s = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m tools.gpu_kit", description="Recordings that need a GPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="fetch what a machine without a network lacks")
    packing.add_argument("folder", type=Path, help="where to; one folder in it for each copy")
    packing.add_argument("--renew", action="store_true", help="write the list again from its packages' names first")
    running = commands.add_parser("run", help="measure what is left, until it is done or the time is up (status 3)")
    running.add_argument("stage", nargs="*", help="device, decode, sparse, quality, serving; by default all")
    running.add_argument(
        "--folder", type=Path, required=True, help="for recordings and journal; give it again to go on"
    )
    running.add_argument("--luggage", type=Path, help="folder with what has been packed and has arrived by now")
    running.add_argument("--site", type=Path, default=SITE, help=f"where it is unpacked ({SITE})")
    running.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    running.add_argument("--tiny", action="store_true", help="small shapes, to try the kit itself")
    running.add_argument("--limit", type=float, default=500.0, metavar="S", help="seconds of this call (500)")
    running.add_argument("--step-limit", type=float, default=170.0, metavar="S", help="seconds of a step (170)")
    running.add_argument("--retry", action="store_true", help="try again what failed before")
    running.add_argument("--url", default="", help="a running server, up to its version: http://localhost:8000/v1")
    running.add_argument("--engine", default="", help="what that server is, with its version")
    running.add_argument("--served", default="", help="the model it serves, as costlab.serving knows it, for the floor")
    working = commands.add_parser("work")
    working.add_argument("asked")
    asked = parser.parse_args(words)
    if asked.command == "pack":
        from tools.gpu_kit import luggage

        if asked.renew:
            luggage.renew()
        luggage.pack(asked.folder)
        return 0
    if asked.command == "work":
        from tools.gpu_kit import run

        run.work(run.parsed(asked.asked))
        return 0
    return _run(asked, started_s, parser)


def _run(asked: argparse.Namespace, started_s: float, parser: argparse.ArgumentParser) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    if asked.luggage is not None:
        from tools.gpu_kit import luggage

        try:
            missing = luggage.unpack(asked.luggage, asked.site)
        except luggage.LuggageError as error:
            parser.exit(2, f"{error}\n")
        if missing:
            say(f"still to come: {', '.join(missing)}")
    if asked.site.is_dir():
        sys.path.insert(0, str(asked.site))
    from costlab.errors import CostlabError
    from tools.gpu_kit.plan import STAGES, Asked
    from tools.gpu_kit.run import Limits, run

    unknown = [name for name in asked.stage if name not in STAGES]
    if unknown:
        parser.error(f"unknown stage {unknown[0]!r}: {', '.join(STAGES)}")
    chosen = Asked(asked.device, asked.tiny, asked.url, asked.engine, asked.served)
    limits = Limits(total_s=asked.limit, step_s=asked.step_limit, retry=asked.retry)
    try:
        return run(asked.stage or STAGES, asked.folder, chosen, limits, say=say, started_s=started_s)
    except CostlabError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    sys.exit(main())
