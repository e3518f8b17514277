"""HTML from templates that lie beside the modules whose figures they show."""

from functools import cache

import jinja2

from costlab._internal.text import printable


def _shown(value: object) -> object:
    """A value as a page may show it: who prints the page in a terminal must not obey it either."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("costlab", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: object) -> str:
    """The template, named by its path in the package, with `values` filled in.

    Each is escaped unless it is markup, control characters too.
    """
    return _environment().get_template(template).render(values)
