"""``costlab recordings``: what was measured elsewhere, and whether it can be believed."""

from pathlib import Path
from typing import Annotated

import typer

from costlab.cli.shared import JsonFlag, print_json, say


def check(
    folder: Annotated[Path | None, typer.Argument(help="By default the package's recordings.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Whether recordings can be believed; exit status 1 where one cannot."""
    from costlab.experiments import check_recordings
    from costlab.recordings import FOLDER

    place = FOLDER if folder is None else folder
    files = sorted(path.name for path in place.glob("*.json"))
    if not files:
        raise typer.BadParameter(f"there is no recording in {place}")
    faults = check_recordings(place)
    if as_json:
        print_json({"files": files, "faults": faults})
    else:
        for fault in faults:
            say(f"{fault.file}: {fault.fault}")
        say(f"{len(files)} recordings, {len(faults)} faults")
    if faults:
        raise typer.Exit(1)
