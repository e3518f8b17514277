"""HTML from templates that lie beside the modules whose figures they show."""

from functools import cache

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("costlab", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: object) -> str:
    """The template, named by its path in the package, with `values` filled in; each is escaped unless it is markup."""
    return _environment().get_template(template).render(values)
