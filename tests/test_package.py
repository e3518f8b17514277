"""Promises of the package as a whole: quiet imports, extras that are optional, names that are public."""

import importlib
import os
import pkgutil
import statistics
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import get_origin

import pytest

import costlab
from costlab._internal.extras import extra
from costlab.errors import CostlabError, MissingExtraError

ROOT = Path(__file__).parents[1]
FRONT_DOOR: list[str] = importlib.import_module("costlab").__all__
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "matplotlib",
    "redis",
    "prometheus_client",
    "genai_prices",
    "pydantic",
    "duckdb",
    "narwhals",
    "pyarrow",
    "opentelemetry",
    "grafana_foundation_sdk",
    "httpx2",
    "openai",
    "sklearn",
)
CORE = (
    "costlab",
    "costlab.catalog",
    "costlab.calculator",
    "costlab.errors",
    "costlab.units",
    "costlab.workload",
    "costlab.serving",
    "costlab.token_economics",
    "costlab.build_vs_buy",
)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


MONITORING = ("alerts", "budget", "export", "importers", "ledger", "metrics", "report", "usage")
LIGHT = (
    *("cache", "cli", "compression", "lessons", "monitoring", "plotting", "router", "tables"),
    *(f"monitoring.{name}" for name in MONITORING),
)


@pytest.mark.parametrize("module", [*CORE, *(f"costlab.{name}" for name in LIGHT)])
def test_imports_are_silent_and_light(module: str) -> None:
    printed = run(f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])")
    assert printed.strip() == "[]"


#: Those that work where nothing but Python itself is installed, as in a browser.
PURE = (
    *CORE,
    "costlab.cache.economics.lru",
    "costlab.cache.economics.saving",
    "costlab.compression.sizes",
    "costlab.events",
    "costlab.lessons.calculators",
    "costlab.monitoring.budget.engine",
    "costlab.monitoring.budget.limits",
    "costlab.router.policy",
)


def using(module: str) -> str:
    """Code that imports a module and what it exports, as packages load their names on first use only."""
    names = "" if module == "costlab" else f"; [getattr({module}, name) for name in getattr({module}, '__all__', ())]"
    return f"import {module}{names}; "


@pytest.mark.parametrize("module", CORE)
def test_core_needs_only_the_standard_library(module: str) -> None:
    code = f"import sys; before = set(sys.modules); {using(module)}print(*sorted(set(sys.modules) - before))"
    loaded = {name.split(".")[0] for name in run(code).split()}
    assert loaded - {"costlab"} <= set(sys.stdlib_module_names) | {"costlab"}


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_can_be_imported_where_nothing_is_installed(module: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {using(module)}"
    bare = [sys.executable, "-I", "-S", "-c"]  # isolated, and without site-packages
    assert subprocess.run([*bare, "import numpy"], capture_output=True).returncode != 0
    done = subprocess.run([*bare, code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_import_takes_no_longer_than_a_package_of_the_standard_library() -> None:
    def cpu_s(name: str) -> float:
        return float(
            run(f"import time; start = time.process_time(); import {name}; print(time.process_time() - start)")
        )

    pairs = [(cpu_s("costlab"), cpu_s("asyncio")) for _ in range(5)]  # asyncio takes about 30 ms
    assert statistics.median(ours / theirs for ours, theirs in pairs) < 1


def imported(name: str) -> ModuleType:
    """A module; without extras an empty one in place of one that declares its records with an optional library."""
    try:
        return importlib.import_module(name)
    except MissingExtraError:
        if not os.environ.get("COSTLAB_BARE"):
            raise
        return ModuleType(name, "not to be had here")


def modules() -> list[str]:
    return [info.name for info in pkgutil.walk_packages(costlab.__path__, "costlab.")]


@pytest.mark.parametrize("name", modules())
def test_public_names_exist_and_are_documented(name: str) -> None:
    """A package's names are those that it lists; a module's are those that it defines without an underscore."""
    module = imported(name)
    assert module.__doc__
    own = [public for public, value in vars(module).items() if getattr(value, "__module__", None) == name]
    for public in getattr(module, "__all__", [public for public in own if not public.startswith("_")]):
        value = getattr(module, public)
        if callable(value) and get_origin(value) is None:  # an alias of a type has no docstring of its own
            assert value.__doc__, f"{name}.{public} has no docstring"


def test_missing_extra_names_the_install_line() -> None:
    message = r'no_such_module is not installed; run: pip install "costlab\[plots\] @ git\+https://'
    with pytest.raises(MissingExtraError, match=message) as e, extra("plots"):
        import no_such_module.inside  # type: ignore[import-not-found]  # noqa: F401
    assert isinstance(e.value, ImportError)
    assert isinstance(e.value, CostlabError)


def test_a_broken_dependency_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_installed.py").write_text("import a_module_that_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_it_needs") as caught, extra("plots"):
        import half_installed  # type: ignore[import-not-found]  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)


def test_version_is_written_once() -> None:
    assert version("costlab") == costlab.__version__


def test_constraints_pin_torch_and_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    )
    assert pins["torch"] == "2.13.0"
    assert pins["jupyter-book"] == "1.0.4.post1"
    wanted = [*project["dependencies"], *(d for group in project["optional-dependencies"].values() for d in group)]
    names = {dependency.split("[")[0].split(">")[0].split("=")[0].lower() for dependency in wanted} - {"costlab"}
    assert names <= pins.keys()


def lazy_packages() -> list[str]:
    # Packages alone: a module may need an optional library to be imported.
    packages = [name for name in ["costlab", *modules()] if (ROOT / name.replace(".", "/") / "__init__.py").exists()]
    named = {name: importlib.import_module(name) for name in packages}
    return [name for name, module in named.items() if "lazy_package" in vars(module) and hasattr(module, "__path__")]


@pytest.mark.parametrize("name", lazy_packages())
def test_lazy_packages_give_every_name_and_hide_none_behind_a_module(name: str) -> None:
    package = importlib.import_module(name)
    inside = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert package.__all__
    assert not inside & set(package.__all__)
    for public in package.__all__:
        assert getattr(package, public) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = package.no_such_name


#: What the names of the front door load beside costlab and the standard library.
NEEDS = {
    "Cascade": {"msgpack"},
    "ResponseCache": {"msgpack"},
    "calibrate": {"numpy"},
    "load_workload": {"pydantic", "pydantic_core"},
    "monte_carlo": {"numpy"},
}


@pytest.mark.parametrize("name", FRONT_DOOR)
def test_a_name_of_the_front_door_loads_its_own_needs_only(name: str) -> None:
    code = f"import sys; from costlab import {name}; print(*sys.modules)"
    heavy = {module.split(".")[0] for module in run(code).split()} & {*HEAVY, "msgpack", "numpy", "pydantic_core"}
    assert heavy == NEEDS.get(name, set())


def test_the_front_door_is_short_and_its_docstring_is_the_map() -> None:
    assert costlab.__doc__ is not None
    assert 15 <= len(FRONT_DOOR) <= 20
    assert all(f"`{name}`" in costlab.__doc__ for name in FRONT_DOOR)
    rooms = {info.name for info in pkgutil.iter_modules(costlab.__path__)} - {"__main__", "_internal", "cli"}
    missing = {room for room in rooms if f"costlab.{room}" not in costlab.__doc__}
    assert missing == set()


def test_no_public_class_name_is_used_twice() -> None:
    homes: dict[str, set[str]] = {}
    for name in modules():
        for public, value in vars(imported(name)).items():
            if isinstance(value, type) and not public.startswith("_") and value.__module__.startswith("costlab."):
                homes.setdefault(value.__qualname__, set()).add(value.__module__)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
