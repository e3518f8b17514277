"""The calculators in the pages: their markup with the result for the defaults, and the Python that runs in the browser.

A calculator is shown where a page asks for it, and in the lessons that ``book/calculators.toml`` names, so that the
notebooks themselves stay free of it. The browser runs the same modules of costlab as this build: they are packed here,
beside Pyodide, which ``make book`` fetches by npm. Without it the pages show the results for the defaults alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from docutils import nodes
from markupsafe import Markup
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import costlab
from costlab.lessons.calculators import NumberInput, answer_texts, calculator

HERE = Path(__file__).parent
PACKAGE = Path(costlab.__file__).parent
#: Where ``make book`` puts Pyodide, and what of it a browser needs.
RUNTIME = Path(sys.prefix) / "runtime" / "node_modules" / "pyodide"
RUNTIME_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
SCRIPTS = ("calculators.js", "calculators-worker.js")
MARK = 'class="calculator"'
ASLEEP = "These are the results for the inputs shown. Change one: Python then loads in your browser, once, about 6 MB."
WITHOUT = "These are the results for the inputs shown. This copy of the book was built without Python for the browser."

#: Run apart from everything that is installed: every calculator, and which files of the package that takes.
FIND_FILES = """
import sys
sys.path.insert(0, sys.argv[1])
used = set()
sys.addaudithook(lambda event, args: used.add(str(args[0])) if event == "open" else None)
from costlab.lessons.calculators import answer_texts, calculators
for one in calculators():
    for field in one.inputs:
        for value in getattr(field, "words", [field.text]):
            answer_texts(one.name, {field.name: value})
used |= {module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "costlab"}
print(*sorted(used), sep="\\n")
"""


@cache
def core_files() -> tuple[Path, ...]:
    """The files of the package that the calculators need, found by running them without any library installed."""
    command = [sys.executable, "-I", "-S", "-B", "-c", FIND_FILES, str(PACKAGE.parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
    if found.returncode:
        raise ExtensionError(f"calculators: they do not run with the standard library alone:\n{found.stderr}")
    paths = (Path(line) for line in found.stdout.splitlines())
    return tuple(path for path in paths if path.is_relative_to(PACKAGE) and path.suffix != ".pyc")


def pack(target: Path) -> None:
    """Write the package's files for the browser, the same bytes for the same files."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in core_files():
            name = path.relative_to(PACKAGE.parent).as_posix()
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)


def markup(name: str, runtime: bool) -> str:
    """A calculator with its defaults and their result, as it is before anything was loaded."""
    one = calculator(name)
    answer = answer_texts(name, {})
    if "error" in answer:
        raise ExtensionError(f"calculators: the defaults of {name} have no result: {answer['error']}")
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
        (HERE / "calculators.html").read_text(encoding="utf-8")
    )
    return template.render(
        one=one,
        said=answer["said"],
        result=Markup(answer["html"]),  # noqa: S704 - the package's own, which escapes what it shows
        state=ASLEEP if runtime else WITHOUT,
        stops=lambda field: _stops(field),
    )


def _stops(field: NumberInput) -> str:
    return json.dumps([int(stop) if float(stop).is_integer() else stop for stop in field.stops], separators=(",", ":"))


class CalculatorDirective(SphinxDirective):
    """A calculator, named by the directive's argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return it as HTML."""
        return [nodes.raw("", markup(self.arguments[0], RUNTIME.is_dir()), format="html")]


def place(app: Sphinx, doctree: nodes.document) -> None:
    """Put the calculators of a lesson at the end of their sections, before what is below these."""
    file = Path(app.srcdir) / "book" / "calculators.toml"
    for entry in tomllib.loads(file.read_text(encoding="utf-8"))["place"]:
        if entry["page"] != app.env.docname:
            continue
        sections = [s for s in doctree.findall(nodes.section) if entry["heading"] in s.next_node(nodes.title).astext()]
        if len(sections) != 1:
            raise ExtensionError(
                f"calculators: {len(sections)} headings of {entry['page']} contain {entry['heading']!r}; name another"
                " in book/calculators.toml"
            )
        (section,) = sections
        below = next((i for i, node in enumerate(section.children) if isinstance(node, nodes.section)), len(section))
        section.insert(below, nodes.raw("", markup(entry["calculator"], RUNTIME.is_dir()), format="html"))


def _version() -> str:
    """A digest of what the browser would otherwise take from its cache."""
    parts = [path.read_bytes() for path in core_files()] + [(HERE.parent / "_static" / s).read_bytes() for s in SCRIPTS]
    return sha256(b"\0".join(parts)).hexdigest()[:10]


def _pyodide() -> str:
    return "pyodide-" + json.loads((RUNTIME / "package.json").read_text(encoding="utf-8"))["version"]


def _load(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Add style and script to the pages that have a calculator, and to no others."""
    if MARK not in context.get("body", ""):
        return
    head = f"<style>{(HERE / 'calculators.css').read_text(encoding='utf-8')}</style>"
    if RUNTIME.is_dir():
        script = context["pathto"]("_static/calculators.js", resource=True)
        head += f'<script type="module" src="{script}?v={app.calculators_version}&amp;runtime={_pyodide()}"></script>'  # type: ignore[attr-defined]
    context["metatags"] = context.get("metatags", "") + head


def _begin(app: Sphinx) -> None:
    app.calculators_version = _version()  # type: ignore[attr-defined]
    if not RUNTIME.is_dir():
        logging.getLogger(__name__).info("calculators: no Pyodide in %s, so they show their defaults alone", RUNTIME)


def _vendor(app: Sphinx, error: Exception | None) -> None:
    """Copy Pyodide into the site, and pack the package beside it."""
    if error is not None or app.builder.format != "html" or not RUNTIME.is_dir():
        return
    static = Path(app.outdir) / "_static"
    folder = static / _pyodide()
    folder.mkdir(exist_ok=True)
    for name in RUNTIME_FILES:
        (folder / name).write_bytes((RUNTIME / name).read_bytes())
    pack(static / "calculators.zip")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, the places in the lessons, and the runtime."""
    app.add_directive("calculator", CalculatorDirective)
    app.connect("builder-inited", _begin)
    app.connect("doctree-read", place)
    app.connect("html-page-context", _load, priority=950)
    app.connect("build-finished", _vendor)
    return {"version": "1", "parallel_read_safe": True}
