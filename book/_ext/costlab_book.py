"""What the book computes while it is built: formulas as MathML, and tables and figures from the package's own data."""

from __future__ import annotations

import html
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from costlab.calculator import MonthlyCost, monthly_cost, saving_fraction
from costlab.catalog import PRICINGS, current_gpu_prices
from costlab.lessons.claims_ledger import claims

#: The tag of a cell whose output the tests do not compare; tools/ is not importable while the book is built.
IGNORED = "nbval-ignore-output"
VERDICT_CLASS = {"holds": "good", "too narrow": "mixed", "depends": "mixed", "wrong": "bad"}


def mathml(latex: str, display: str) -> str:
    """A formula as MathML; several lines or alignment marks make it an aligned block."""
    latex = latex.strip()
    if display == "block" and ("&" in latex or r"\\" in latex) and r"\begin" not in latex:
        latex = rf"\begin{{align*}}{latex}\end{{align*}}"
    # Chromium and Firefox know tfrac only as an ordinary fraction in text style.
    return convert(latex.replace(r"\tfrac", r"\frac"), display=display)


def _visit_math(self: Any, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _visit_displaymath(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math-block" tabindex="0">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def course(source: Path) -> dict[str, Any]:
    """The course's lessons and the titles of the source lesson's sections."""
    return tomllib.loads((source / "book" / "course.toml").read_text(encoding="utf-8"))


def minutes(notebook: Path) -> int:
    """The minutes that a lesson says it takes."""
    return int(re.search(r"Allow (\d+) minutes", notebook.read_text(encoding="utf-8"))[1])  # type: ignore[index]


def course_map_markdown(source: Path) -> list[str]:
    """The path through the lessons: a link and minutes where the notebook exists, otherwise 'in preparation'."""
    lines = ["{.path}"]
    for number, lesson in enumerate(course(source)["lesson"], 1):
        notebook = source / "notebooks" / f"{lesson['file']}.ipynb"
        if notebook.exists():
            head = (
                f"[{lesson['title']}](/notebooks/{lesson['file']}.ipynb), {minutes(notebook)}\N{NO-BREAK SPACE}minutes"
            )
        else:
            head = f"{lesson['title']}, *in preparation*"
        lines += [f"{number}. {head}", "", f"    {lesson['question']}", ""]
    return lines


def start_markdown(source: Path) -> list[str]:
    """The way into the first lesson, with its time and level."""
    name = course(source)["lesson"][0]["file"]
    time = minutes(source / "notebooks" / f"{name}.ipynb")
    return [
        f"```{{button-ref}} /notebooks/{name}",
        ":ref-type: doc",
        ":color: primary",
        ":class: start",
        "Start lesson 1",
        "```",
        "",
        f"{time} minutes, for beginners in the subject: you need some Python, no GPU and nothing installed.",
    ]


def claims_markdown(source: Path) -> list[str]:
    """A table per section of the source lesson."""
    titles = course(source)["sections"]
    lines: list[str] = []
    for section in sorted({entry.section for entry in claims()}, key=lambda name: int(name[1:])):
        lines += [f"## {section} · {titles[section]}", ""]
        lines += ["| claim | as claimed | verdict | what we found | why |", "|---|---|---|---|---|"]
        for entry in claims():
            if entry.section == section:
                badge = f'<span class="verdict {VERDICT_CLASS[entry.verdict]}">{entry.verdict}</span>'
                where = []
                if entry.values:
                    where.append(f"in [lesson\N{NO-BREAK SPACE}{int(entry.lesson)}](#{entry.anchor})")
                if entry.source_url:
                    where.append(f"[source]({entry.source_url})")
                found = f"{entry.found_text} ({entry.obtained} {', '.join(where)})"
                lines.append(f"| {entry.text} | {entry.claimed} | {badge} | {found} | {entry.why} |")
        lines.append("")
    return lines


def status_markdown(source: Path) -> list[str]:
    """How much of each lesson the tests compare when they run it again."""
    lines = ["| lesson | code cells | with output | compared | exempt |", "|---|---|---|---|---|"]
    titles = {lesson["file"]: lesson["title"] for lesson in course(source)["lesson"]}
    for path in sorted((source / "notebooks").glob("[0-9]*.ipynb")):
        cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        printing = [c for c in cells if c["outputs"]]
        exempt = [c for c in printing if IGNORED in c["metadata"].get("tags", [])]
        link = f"[{int(path.stem[:2])} · {titles.get(path.stem, path.stem)}](/notebooks/{path.name})"
        lines.append(f"| {link} | {len(cells)} | {len(printing)} | {len(printing) - len(exempt)} | {len(exempt)} |")
    return lines


def bill_html() -> str:
    """The landing page's figure: one month of eight A10G at every price known, as bars that scale with the page."""
    bills = [monthly_cost("A10G", gpus=8, pricing=way) for way in PRICINGS]
    rows = [(f"source lesson, {_words(bill)}", bill) for bill in bills]
    offers = dict.fromkeys(
        (p.pricing, p.snapshot, p.provider, p.region, p.zone) for p in current_gpu_prices("list") if p.gpu == "A10G"
    )
    listed = [
        monthly_cost("A10G", 8, way, snapshot=table, provider=seller, region=region, zone=zone)
        for way, table, seller, region, zone in offers
    ]
    spot = sorted((b for b in listed if b.price.pricing == "spot"), key=lambda b: b.usd)
    rows += [(f"AWS list price, {_words(b)}", b) for b in listed if b.price.pricing != "spot"]
    rows += [("AWS spot, most expensive zone", spot[-1]), ("AWS spot, cheapest zone", spot[0])]
    highest = max(bill.usd for _, bill in rows)
    bars = ""
    for label, bill in rows:
        saved = saving_fraction(highest, bill.usd)
        share = f" <span>({saved:.0%} less)</span>" if saved >= 0.005 else ""
        kind = "lesson" if bill.price.kind == "lesson" else "list"
        bars += (
            f'<li class="{kind}"><span class="what">{html.escape(label)}</span>'
            f'<span class="bar" style="--share:{bill.usd / highest:.4f}"></span>'
            f'<span class="usd">${bill.usd:,.0f}{share}</span></li>'
        )
    caption = (
        "One month (720 hours) of eight A10G GPUs: the same machines, bought in eight ways. "
        "Claimed by the source lesson, and listed by AWS in us-east-1 "
        f"(catalogue rows of <time>{listed[0].price.checked}</time> and <time>{listed[-1].price.checked}</time>)."
    )
    return f'<figure class="bills"><ul>{bars}</ul><figcaption>{caption}</figcaption></figure>'


def _words(bill: MonthlyCost) -> str:
    names = {"reserved_1y": "reserved for 1 year", "reserved_3y": "reserved for 3 years", "on_demand": "on demand"}
    return names.get(bill.price.pricing, bill.price.pricing)


class Generated(SphinxDirective):
    """A piece of the book that is computed while it is built."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the piece that the directive's name asks for."""
        source = Path(self.env.srcdir)
        if self.name == "bill-figure":
            return [nodes.raw("", bill_html(), format="html")]
        make = {
            "course-map": course_map_markdown,
            "start-lesson": start_markdown,
            "claims-ledger": claims_markdown,
            "execution-status": status_markdown,
        }
        container = nodes.container(classes=[self.name])
        container.document = self.state.document
        lines = StringList(make[self.name](source), source=f"<{self.name}>")
        self.state.nested_parse(lines, self.content_offset, container, match_titles=1)
        return container.children


#: What is read: paragraphs, the questions and answers of a quiz, and cells of tables.
_READ = re.compile(r'<(?:(p|summary)(?: style="[^"]*")?|(t[dh])\b[^>]*)>.*?</(?:\1|\2)>', re.DOTALL)
_KEPT = re.compile(r"<code\b.*?</code>|<[^>]*>|(?<=\d) (?=%|[kMGT]B\b|ms\b)|\b\d{4}-\d\d-\d\d\b", re.DOTALL)
#: In a narrow column a name such as gpt-4o-mini would else end a line at each of its hyphens.
_KEPT_IN_CELLS = re.compile(_KEPT.pattern + r"|(?<![\w./-])(?=[\w./-]{3,26}(?![\w./-]))[\w./]+(?:-[\w./]+)+", re.DOTALL)


def unbroken(body: str) -> str:
    """The page with each date, each number and its % or unit, and each short name in a table on one line."""

    def keep(found: re.Match[str]) -> str:
        if found[0].startswith("<"):
            return found[0]
        return "\N{NO-BREAK SPACE}" if found[0] == " " else f'<span style="white-space: nowrap">{found[0]}</span>'

    return _READ.sub(lambda block: (_KEPT_IN_CELLS if block[2] else _KEPT).sub(keep, block[0]), body)


def _mend_page(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Mend what the theme's parts get wrong, as the browser and the accessibility tests found it."""
    if "body" in context:
        body = unbroken(context["body"]).replace(
            "<pre>", '<pre tabindex="0">'
        )  # code scrolls sideways: let the keyboard reach it
        # A short word of code with hyphens, such as an option, stays in one line.
        body = re.sub(r'<span class="pre">(?=[^<]{0,21}-)([^<]{1,22}</span>)', r'<span class="pre whole">\1', body)
        # Its children are entries with links before them, which a list may not have.
        context["body"] = body.replace('role="list" class="citation-list"', 'class="citation-list"')
    # Thebe (live code on the page) is not used, and its scripts, put in twice, fail on declaring a constant again.
    context["script_files"] = [s for s in context.get("script_files", ()) if "thebe" not in _text(s).lower()]


def _launch_student_edition(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Let the launch buttons open a lesson without its outputs, which would tell what the reader is to guess."""
    folder, _, name = page.rpartition("/")
    for group in context.get("header_buttons", ()):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                button["url"] = button["url"].replace(f"/{folder}/{name}.ipynb", f"/{folder}/student/{name}.ipynb")


def _text(script: Any) -> str:
    return f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the formulas and the generated pieces."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_visit_math, None), block_renderers=(_visit_displaymath, None)
    )
    for name in ("bill-figure", "course-map", "start-lesson", "claims-ledger", "execution-status"):
        app.add_directive(name, Generated)
    app.connect("html-page-context", _mend_page, priority=900)
    app.connect("html-page-context", _launch_student_edition, priority=900)
    return {"version": "1", "parallel_read_safe": True}
