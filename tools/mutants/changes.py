"""The changes that are made to a module: each a place in its text and what stands there instead.

They are slips that somebody could make in a formula: a bound that is one off, a term or a factor left out, a maximum
for a minimum, a constant doubled, a condition that always or never holds, a check that is missing. Left alone are
what raises (its condition is changed), words, types, and the order of arguments.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "//",
    ast.Pow: "*",
}
#: What is put for a function of the same arguments.
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor"}
#: Functions that are left out, with their first argument in their place.
TRANSPARENT = frozenset({"abs", "round", "sorted", "floor", "ceil", "reversed", "expm1", "log1p", "sqrt"})
#: Of their arguments each is taken alone.
CHOOSING = frozenset({"min", "max", "maximum"})


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a module's text.

    Attributes
    ----------
    module : str
        Path of the module from the root of the repository.
    function : str
        Qualified name of the function or class, or ``<module>``.
    line : int
        Where the changed part begins.
    lines : tuple of int
        First and last line of the statement, or of the head of a compound one.
    start, end : int
        Where the changed part stands in the text, in bytes of UTF-8.
    before, after : str
        The part, and what stands there instead.
    number : int
        Which of equal changes in one function it is, from 1.
    """

    module: str
    function: str
    line: int
    lines: tuple[int, int]
    start: int
    end: int
    before: str
    after: str
    number: int = 1

    @property
    def what(self) -> str:
        """The change in words, the same wherever the function stands in the module."""
        text = f"{' '.join(self.before.split())} → {' '.join(self.after.split())}"
        return text if self.number == 1 else f"{text} #{self.number}"

    @property
    def name(self) -> str:
        """What it is known by: module, function, change."""
        return f"{self.module}::{self.function}: {self.what}"

    def apply(self, source: bytes) -> bytes:
        """The changed text of the module."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def changes_of(path: Path, module: str) -> list[Change]:
    """All changes of a module, in the order of its text."""
    source = path.read_bytes()
    found: list[Change] = []
    seen: dict[tuple[str, str], int] = {}
    for change in sorted(_Finder(source, module).find(), key=lambda one: (one.start, one.end, one.after)):
        count = seen[change.function, change.what] = seen.get((change.function, change.what), 0) + 1
        found.append(replace(change, number=count))
    return found


class _Finder(ast.NodeVisitor):
    """Walks through a module; what it finds is in `found`."""

    def __init__(self, source: bytes, module: str) -> None:
        self._source, self._module = source, module
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._names: list[str] = []
        self._lines = (1, 1)
        self.found: list[Change] = []

    def find(self) -> list[Change]:
        self.visit(ast.parse(self._source))
        return self.found

    # Where things stand.

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        return self._source[self._start(node) : self._end(node)].decode()

    def _add(self, node: ast.expr | ast.stmt, after: str, context: ast.expr | None = None) -> None:
        """The change of a node; shown with the expression around it where it alone says little."""
        start, end = self._start(node), self._end(node)
        if context is not None:
            around, until = self._start(context), self._end(context)
            after = self._source[around:start].decode() + after + self._source[end:until].decode()
            start, end = around, until
        before = self._source[start:end].decode()
        if before == after:
            return
        function = ".".join(self._names) or "<module>"
        self.found.append(Change(self._module, function, node.lineno, self._lines, start, end, before, after))

    # Statements.

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            last = node.end_lineno or node.lineno
            body = getattr(node, "body", None)
            if isinstance(body, list) and body:
                last = max(node.lineno, body[0].lineno - 1)
            self._lines = (node.lineno, last)
        super().visit(node)

    def _visit_all(self, nodes: list[ast.stmt] | list[ast.expr]) -> None:
        for node in nodes:
            self.visit(node)

    def _visit_named(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._names.append(node.name)
        if not isinstance(node, ast.ClassDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                if default is not None:
                    self.visit(default)
        self._visit_all(node.body)
        self._names.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_named  # noqa: N815 - ast's names

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        pass

    visit_ImportFrom = visit_Import  # noqa: N815 - ast's names

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            self._add(node, "pass")
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets):
            self._add(node, "pass")
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        target, value = self._text(node.target), self._text(node.value)
        if type(node.op) in OPERATORS:
            self._add(node, f"{target} {OPERATORS[type(node.op)]}= {value}")
        self._add(node, f"{target} = {value}")
        self._add(node, "pass")
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._add(node, "pass")

    def visit_Break(self, node: ast.Break) -> None:
        self._add(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add(node, "break")

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            if isinstance(node, ast.If):
                self._visit_all(node.orelse)
            return
        self._add(node.test, "True", node if isinstance(node, ast.IfExp) else None)
        self._add(node.test, "False", node if isinstance(node, ast.IfExp) else None)
        self.generic_visit(node)

    visit_IfExp = visit_If  # noqa: N815 - ast's names

    def visit_While(self, node: ast.While) -> None:
        self._add(node.test, "False")
        self.generic_visit(node)

    # Expressions.

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass  # words

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._add(test, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        parts, whole = [node.left, *node.comparators], self._text(node).encode()
        for left, operator, right in zip(parts, node.ops, parts[1:], strict=False):
            begin, until = self._end(left) - self._start(node), self._start(right) - self._start(node)
            old, new = COMPARISONS[type(operator)]
            middle = whole[begin:until].decode().replace(old, new, 1)  # with the brackets around either side
            self._add(node, whole[:begin].decode() + middle + whole[until:].decode())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word = " and " if isinstance(node.op, ast.And) else " or "
        for left_out in range(len(node.values)):
            rest = [f"({self._text(value)})" for index, value in enumerate(node.values) if index != left_out]
            self._add(node, f"({word.join(rest)})" if len(rest) > 1 else rest[0])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        left, right = self._text(node.left), self._text(node.right)
        if not any(_is_words(part) for part in (node.left, node.right)):
            if type(node.op) in OPERATORS:
                self._add(node, f"(({left}) {OPERATORS[type(node.op)]} ({right}))")
            self._add(node, f"({left})")
            if isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
                self._add(node, f"({right})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not):
            self._add(node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node, str(not value))
        elif isinstance(value, int):
            self._add(node, f"{value + 1}")
            if value:
                self._add(node, f"{value - 1}")
        elif isinstance(value, float):
            self._add(node, f"{2 * value!r}" if value else "1.0")
            if value:
                self._add(node, f"{value / 2!r}")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CALLS:
            text = self._text(node.func)
            self._add(node.func, text[: -len(name)] + CALLS[name], node)
        if name in TRANSPARENT and node.args:
            self._add(node, f"({self._text(node.args[0])})")
        plain = not any(isinstance(part, ast.Starred | ast.GeneratorExp) for part in node.args)
        if name in CHOOSING and len(node.args) > 1 and plain:
            for part in node.args:
                self._add(node, f"({self._text(part)})")
        for keyword in node.keywords:
            if keyword.arg == "key":
                self._add(keyword.value, "None", node)
        self.visit(node.func)
        self._visit_all(node.args)
        for keyword in node.keywords:
            self.visit(keyword.value)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)


def _is_words(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def walk(root: Path, modules: tuple[str, ...]) -> Iterator[Change]:
    """The changes of several modules, which are named by their paths below a folder."""
    for module in modules:
        yield from changes_of(root / module, module)
