"""What is changed, and which tests have to notice."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Group:
    """Modules that belong together, and their own tests.

    Attributes
    ----------
    sources : tuple of str
        Modules or packages, by their paths from the root of the repository.
    tests : tuple of str
        Files and folders of tests. Tests of what stands on these modules are left out: a formula is held where it is.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]

    def modules(self) -> tuple[str, ...]:
        """The modules to change."""
        paths = (
            path
            for source in self.sources
            for path in (sorted((ROOT / source).glob("*.py")) if (ROOT / source).is_dir() else [ROOT / source])
        )
        return tuple(str(path.relative_to(ROOT)) for path in paths if path.name != "__init__.py")


GROUPS = {
    "calculator": Group(("costlab/calculator",), ("tests/calculator", "costlab/calculator")),
    "build_vs_buy": Group(("costlab/build_vs_buy",), ("tests/build_vs_buy", "costlab/build_vs_buy")),
    "serving": Group(("costlab/serving",), ("tests/serving", "costlab/serving")),
    "token_economics": Group(("costlab/token_economics",), ("tests/token_economics", "costlab/token_economics")),
    "cache_economics": Group(("costlab/cache/economics",), ("tests/cache/economics", "costlab/cache/economics")),
    "router_policy": Group(("costlab/router/policy.py",), ("tests/router/test_policy.py", "costlab/router/policy.py")),
    "usage": Group(
        ("costlab/monitoring/usage.py", "costlab/monitoring/keymetrics.py"),
        (
            "tests/monitoring/test_usage.py",
            "tests/monitoring/test_keymetrics.py",
            "tests/monitoring/test_number_types.py",
            "costlab/monitoring/usage.py",
            "costlab/monitoring/keymetrics.py",
        ),
    ),
    "budget": Group(
        ("costlab/monitoring/budget/limits.py", "costlab/monitoring/budget/engine.py"),
        (
            "tests/monitoring/budget/test_engine.py",
            "tests/monitoring/budget/test_guard.py",
            "tests/monitoring/budget/test_machine.py",
            "tests/monitoring/budget/test_policy.py",
            "costlab/monitoring/budget/limits.py",
            "costlab/monitoring/budget/engine.py",
        ),
    ),
}
