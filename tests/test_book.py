"""The book: what is built at build time, and the check that all of it was built."""

import html
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from costlab import __version__
from costlab.calculator import monthly_cost
from costlab.lessons import claims
from tests import needs

needs.extra("jupyter_book", "book")
needs.extra("yaml", "test")

from tools.check_site import main, pages, problems  # noqa: E402 - after the checks for optional packages

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("costlab_book", ROOT / "book" / "_ext" / "costlab_book.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_line_does_not_end_within_a_date_or_before_a_unit(extension: ModuleType) -> None:
    read = extension.unbroken('<p>4.5 % of <a href="/2026-01-21 %">5 GB</a> on\n2026-01-21</p>')
    day = '<span style="white-space: nowrap">2026-01-21</span>'
    assert read == f'<p>4.5\N{NO-BREAK SPACE}% of <a href="/2026-01-21 %">5\N{NO-BREAK SPACE}GB</a> on\n{day}</p>'
    cell = extension.unbroken('<td style="text-align: left">30 to 60 %</td>')
    assert cell.endswith(">30 to 60\N{NO-BREAK SPACE}%</td>")
    for kept in (
        "<pre>4.5 %</pre>",
        "<p><code>7 % 2</code></p>",
        '<p class="calc-answer">4.1 %</p>',
        "<p>7 msgs and 7 percent</p>",
    ):
        assert extension.unbroken(kept) == kept


def test_a_name_in_a_table_does_not_end_a_line_at_its_hyphens(extension: ModuleType) -> None:
    for name in ("gpt-4o-mini", "aws/us-east-1", "p6-b200.48xlarge", "2026-01-21"):
        kept = f'<span style="white-space: nowrap">{name}</span>'
        for cell in ("td", 'th class="head"', 'td style="text-align: left"'):
            tag = cell.split()[0]
            assert extension.unbroken(f"<{cell}><p>with {name},</p></{tag}>") == f"<{cell}><p>with {kept},</p></{tag}>"
    for left in ("<p>gpt-4o-mini</p>", "<td>a name-that-is-as-long-as-a-line</td>", "<td>1 - 2, -3 and pre-</td>"):
        assert extension.unbroken(left) == left


def test_jupyter_book_is_1() -> None:
    from importlib.metadata import version

    assert version("jupyter-book") == "1.0.4.post1", "2.x exits 0 with these files, having built nothing"


@pytest.fixture
def small_site(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nparts:\n- caption: A\n  chapters:\n"
        "  - file: sub/one\n    sections:\n    - file: two\n"
    )
    site = tmp_path / "html"
    (site / "sub").mkdir(parents=True)
    text = "text " * 100
    page = f"<html><body><nav>menu</nav><article><section><h1>Title</h1><p>{text}</p></section></article></body></html>"
    for name in ("intro", "sub/one", "two", "index"):
        (site / f"{name}.html").write_text(page)
    return site, tmp_path / "_toc.yml"


def test_toc_is_read_to_the_bottom(small_site: tuple[Path, Path]) -> None:
    assert pages(small_site[1]) == ["intro", "sub/one", "two"]
    assert problems(*small_site) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "two.html was not built"),
        ("", "two.html has no title"),
        ("<nav><h1>Menu</h1></nav><article><p>" + "x" * 500 + "</p></article>", "two.html has no title"),
        ("<article><h1>Title</h1></article><footer>" + "x" * 500 + "</footer>", "two.html has 5 characters of text"),
    ],
)
def test_missing_and_empty_pages_are_found(small_site: tuple[Path, Path], text: str | None, problem: str) -> None:
    page = small_site[0] / "two.html"
    if text is None:
        page.unlink()
    else:
        page.write_text(text)
    assert any(line.startswith(problem) for line in problems(*small_site))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="sub/none.html">x</a>', "two.html links to sub/none.html, which is not there"),
        ('<img src="none.png">', "two.html links to none.png, which is not there"),
        ('<a href="sub/one.html#none">x</a>', "two.html links to sub/one.html#none, and there is no such anchor"),
        ('<a href="#none">x</a>', "two.html links to #none, and there is no such anchor"),
        ('<a href="../outside.html">x</a>', "two.html links to ../outside.html, which is not there"),
        ('<p id="a"></p><p id="a"></p>', "two.html has the anchor #a twice"),
        ('<p id="a b"></p><a href="#a%20b">x</a><a href="sub/one.html?q=1">x</a><a href="https://x.org/#y"></a>', None),
    ],
)
def test_broken_links_are_found(small_site: tuple[Path, Path], body: str, problem: str | None) -> None:
    page = small_site[0] / "two.html"
    (small_site[0].parent / "outside.html").write_text("not a part of the site")
    page.write_text(page.read_text().replace("</body>", body + "</body>"))
    assert problems(*small_site) == ([problem] if problem else [])


def test_a_site_of_which_nothing_was_built_fails(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 1


def test_every_page_is_in_the_built_site(site: Path) -> None:
    assert problems(site) == []
    assert main([str(site)]) == 0


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        (r"\frac{a}{b}", ["<mfrac>"]),
        (r"\sqrt{2 \delta M}", ["<msqrt>", "&#x003B4;"]),
        (r"p \sum_t \max(0,\ d_t - k)", ["&#x02211;", "max"]),
        (r"\tau &= a \\ b &= c", ["<mtable", "<mtr>"]),
        (r"\tfrac13 x", ["<mfrac>"]),
        (r"n = \lceil W/\tau \rceil", ["&#x02308;"]),
    ],
)
def test_formulas_become_mathml(extension: ModuleType, latex: str, parts: list[str]) -> None:
    made = extension.mathml(latex, "block")
    assert made.startswith("<math")
    assert 'display="block"' in made
    for part in parts:
        assert part in made


def test_no_formula_is_left_as_text(site: Path) -> None:
    for name in pages(ROOT / "_toc.yml"):
        text = (site / f"{name}.html").read_text()
        assert not re.search(
            r"\\(frac|sqrt|text|tau|delta|begin)\b", re.sub(r"<script.*?</script>", "", text, flags=re.S)
        ), name
        assert not [one for one in re.findall(r"<math.*?</math>", text, re.S) if "\\" in one], name


def test_claims_page_shows_every_claim_and_its_verdict(site: Path) -> None:
    page = (site / "book" / "claims.html").read_text()
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    for entry in claims():
        assert entry.text.split(",")[0].replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") in shown
        assert entry.why.split(",")[0].split("'")[0] in shown
    assert page.count('class="verdict ') == len(claims()) + 4


def test_every_computed_row_links_to_the_cell_that_computes_it(site: Path) -> None:
    ledger = (site / "book" / "claims.html").read_text()
    for entry in claims():
        (lesson,) = (ROOT / "notebooks").glob(f"{entry.lesson}_*.ipynb")
        link = f'href="../notebooks/{lesson.stem}.html#{entry.anchor}"'
        assert (link in ledger) == bool(entry.values), entry.id
        if entry.values:
            page = (site / "notebooks" / f"{lesson.stem}.html").read_text()
            cell = page.split(f'id="{entry.anchor}"')[1].split('cell docutils container"')[0]
            assert f"claim({entry.id}" in re.sub(r"<[^>]+>|&quot;|\"", "", cell), entry.id


def test_landing_figure_is_computed(site: Path, extension: ModuleType) -> None:
    page = (site / "book" / "intro.html").read_text()
    assert f"${monthly_cost('A10G', gpus=8).usd:,.0f}" in page
    assert extension.bill_html().count("<li ") == 8


def test_lessons_to_come_are_said_to_be_in_preparation(extension: ModuleType) -> None:
    text = "\n".join(extension.course_map_markdown(ROOT))
    written = len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    assert text.count("](/notebooks/") == text.count("\N{NO-BREAK SPACE}minutes") == written
    assert text.count("*in preparation*") == len(extension.course(ROOT)["lesson"]) - written


def test_every_written_lesson_is_in_the_table_of_contents() -> None:
    assert {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")} <= set(
        pages(ROOT / "_toc.yml")
    )


def test_status_page_counts_what_is_compared(extension: ModuleType) -> None:
    row = extension.status_markdown(ROOT)[2]
    total, printing, compared, exempt = (int(cell) for cell in re.findall(r"\| (\d+) ", row + " "))
    cells = json.loads((ROOT / "notebooks" / "01_gpu_cost_modeling.ipynb").read_text())["cells"]
    assert total == sum(cell["cell_type"] == "code" for cell in cells)
    assert printing == compared + exempt


def test_solutions_are_not_on_the_site(site: Path) -> None:
    assert not [path for path in site.rglob("*") if "solution" in path.name.lower()]


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("https://colab.research.google.com/", "github/costlab/costlab/blob/v{version}/{path}"),
        ("https://mybinder.org/", "v2/gh/costlab/costlab/v{version}?urlpath=lab/tree/{path}"),
    ],
)
def test_launch_links_open_each_lesson_without_its_outputs(site: Path, host: str, place: str) -> None:
    for lesson in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        page = (site / "notebooks" / f"{lesson.stem}.html").read_text(encoding="utf-8")
        links = {html.unescape(link) for link in re.findall(r'href="([^"]*)"', page)}
        opened = f"notebooks/student/{lesson.name}"
        asked = host + place.format(version=__version__, path=opened)
        assert {link for link in links if link.startswith(host)} == {asked}
        cells = json.loads((ROOT / opened).read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells)


def test_student_edition_is_not_on_the_site(site: Path) -> None:
    assert not [path for path in site.rglob("*.ipynb") if "student" in path.parts]
    assert not (site / "notebooks" / "student").exists()


def test_no_machine_path_is_on_the_site(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path


def test_glossary_terms_of_the_course_are_defined(site: Path) -> None:
    page = (site / "book" / "glossary.html").read_text()
    for term in ("spot", "utilization", "MTBF", "TTFT", "showback", "false hit", "savings plan", "unit of sale"):
        assert f'id="term-{term.replace(" ", "-")}"' in page


def test_repository_address_in_the_config_is_the_one() -> None:
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    assert f"url: {address}\n" in (ROOT / "_config.yml").read_text()
