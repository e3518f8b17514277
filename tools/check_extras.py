"""The wheel in a clean environment, without extras and with each: ``python -m tools.check_extras [EXTRA ...]``.

For each extra a virtual environment is made that holds the wheel, the extra and what these need, at the tested
versions; then the command and the import are tried, and one thing for which the extra is there. Without arguments all
are checked; ``none`` names the package alone. The heavy ones, which bring torch, a browser's driver or a site builder,
take minutes and gigabytes; torch comes first, from where pip finds it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"

#: Their environments take longer than a test should.
HEAVY: Final = ("lessons", "compression", "models", "embedders", "router", "spark", "book", "lab", "test")
#: Those that want torch.
WITH_TORCH: Final = ("lessons", "compression", "models", "embedders", "lab", "test")

#: What each extra must be able to do, as a program that ends with an error where it cannot.
EXTRAS: Final[Mapping[str, str]] = {
    "": """
        import subprocess, sys
        from costlab.calculator import monthly_cost
        from costlab.catalog import api_price
        from costlab.monitoring.budget import BudgetPolicy
        from costlab.router.tiers_file import example_tiers
        assert monthly_cost("A10G", gpus=8).usd == 5817.6
        assert api_price("gpt-4o").usd(1000, 100) > 0
        open("tiers.toml", "w").write(example_tiers())
        open("policy.toml", "w").write("[budget]\\ndaily_soft_usd = 1\\ndaily_hard_usd = 2\\nmonthly_usd = 9")
        assert BudgetPolicy.from_toml("policy.toml").monthly_usd == 9
        for words in (["gpu", "A10G"], ["prices"], ["simulate", "tiers.toml"], ["compare", "--example"]):
            subprocess.run([sys.executable, "-m", "costlab", *words], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([sys.executable, "-m", "costlab", "demo"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == "error: duckdb is not installed; run: pip install 'costlab[usage]'\\n", done.stderr
    """,
    "plots": """
        import matplotlib
        matplotlib.use("Agg")
        from costlab.plotting import plot_useful_hour
        from costlab.tables import gpu_spec_table
        plot_useful_hour(1.01).figure.savefig("hour.png")
        assert len(gpu_spec_table()) == 8
    """,
    "datasets": """
        import functools, hashlib, http.server, pathlib, threading
        from costlab.datasets.upstream import UpstreamFile, local_path
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *words): pass
        pathlib.Path("published").write_text("rows")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/published"
        file = UpstreamFile("published.txt", url, hashlib.sha256(b"rows").hexdigest())
        assert local_path(file).read_text() == "rows"
    """,
    "semantic": """
        import asyncio, numpy as np, onnxruntime, tokenizers
        from costlab.cache.index import HnswIndex
        async def nearest():
            index = HnswIndex(3)
            for key, vector in (("a", [1, 0, 0]), ("b", [0, 1, 0])):
                await index.add("", key, key, np.array(vector, dtype=np.float32))
            return [one.key for one in await index.search("", np.array([0.9, 0.1, 0], dtype=np.float32), 1)]
        assert asyncio.run(nearest()) == ["a"]
    """,
    "usage": """
        import json, subprocess, sys
        def costlab(*words):
            command = [sys.executable, "-m", "costlab", *words]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        costlab("sample-log", "log.parquet", "--requests", "2000", "--runaway")
        assert json.loads(costlab("report", "log.parquet", "--json"))["total"]["requests"] > 2000
        assert json.loads(costlab("demo", "--requests", "500", "--json", "--out", "demo.html"))["saving_fraction"] > 0.5
    """,
    "monitoring": """
        import pynvml, opentelemetry.sdk.metrics, prometheus_client
        from costlab.events import RequestEvent
        from costlab.monitoring.ledger import Ledger
        from costlab.monitoring.metrics import RequestMetrics
        event = RequestEvent(request_id="r", time_s=0.0, tier="small", model="m", input_tokens=9, output_tokens=1,
                             cost_micro_usd=153, latency_s=0.1, outcome="ok")
        registry = prometheus_client.CollectorRegistry()
        RequestMetrics(registry)(event)
        assert b"costlab_cost_usd_total" in prometheus_client.generate_latest(registry)
        with Ledger("ledger.sqlite") as ledger:
            ledger.append(event)
            assert ledger.to_parquet("ledger.parquet") == 1
    """,
    "dashboards": """
        import subprocess, sys, yaml
        subprocess.run([sys.executable, "-m", "costlab", "monitoring", "export", "out"], check=True)
    """,
    "redis": """
        import asyncio
        from costlab.cache import EmbeddedServer, RedisStore
        async def kept(url):
            store = RedisStore(url)
            await store.set("k", b"v")
            found = await store.get("k")
            await store.aclose()
            return found
        with EmbeddedServer() as server:
            assert asyncio.run(kept(server.url)) == b"v"
    """,
    "router": """
        import asyncio, openai, transformers
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from costlab.router import Cascade, ClassifierModel, Tier
        texts = ["reset my password", "password forgotten", "cancel my plan", "end the plan"]
        fitted = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["password"] * 2 + ["cancel"] * 2)
        routed = asyncio.run(Cascade([Tier("words", ClassifierModel(fitted), 0.0005)]).route("I forgot the password"))
        assert (routed.answer, routed.cost_usd) == ("password", 0.0005)
    """,
    "models": """
        import json, subprocess, sys
        words = "bench device --device cpu --repeats 5 --copy-mib 1 --size 64 --json".split()
        out = subprocess.run([sys.executable, "-m", "costlab", *words], check=True, capture_output=True).stdout
        assert json.loads(out)["rows"]
        import accelerate, bitsandbytes, gguf, safetensors, torchao, transformers
    """,
    "compression": """
        import scipy.stats, torch
        from costlab.compression import prune, pruned_sizes
        model = prune(torch.nn.Sequential(torch.nn.Linear(64, 64)), 0.5)
        assert pruned_sizes(model)
        from costlab.compression import digits_task
        assert digits_task().draw(0)
    """,
    "embedders": """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import StaticEmbedding
        from tokenizers import Tokenizer, models, pre_tokenizers
        from costlab.cache.embedding import SentenceTransformerEmbedder
        tokenizer = Tokenizer(models.WordLevel({"reset": 0, "my": 1, "password": 2, "?": 3}, unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)]).save("tiny")
        assert SentenceTransformerEmbedder("tiny").embed(["reset my password"]).shape == (1, 8)
    """,
    "spark": """
        import shutil, sys
        from pyspark.sql import SparkSession
        if shutil.which("java") is None:
            sys.exit("Spark wants Java: apt-get install default-jre-headless")
        from costlab.monitoring.usage import usage
        spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
        row = dict(request_id="r", time_s=0.0, tier="small", model="m", input_tokens=9, output_tokens=1,
                   cost_micro_usd=153, latency_s=0.1, outcome="ok")
        (found,) = usage(spark.createDataFrame([row]))
        assert found.cost_micro_usd == 153
        spark.stop()
    """,
    "lessons": """
        import json, pathlib
        from IPython.core.interactiveshell import InteractiveShell
        import matplotlib
        matplotlib.use("Agg")
        shell = InteractiveShell.instance()
        cells = json.loads(pathlib.Path(REPOSITORY, "notebooks/01_gpu_cost_modeling.ipynb").read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        for source in code[1:]:  # the first cell installs what is installed
            assert shell.run_cell(source).success, source
    """,
    "book": """
        import pathlib, subprocess, sys
        from latex2mathml.converter import convert
        assert "<math" in convert("x^2")
        pathlib.Path("_toc.yml").write_text("format: jb-book\\nroot: index\\n")
        pathlib.Path("_config.yml").write_text("title: A book\\nonly_build_toc_files: true\\n")
        pathlib.Path("index.md").write_text("# A page\\n")
        main = "from jupyter_book.cli.main import main; main()"
        subprocess.run([sys.executable, "-c", main, "build", "."], check=True, capture_output=True)
        assert pathlib.Path("_build/html/index.html").exists()
    """,
    "lab": """
        import subprocess, sys
        subprocess.run([sys.executable, "-m", "jupyterlab", "--version"], check=True)
        import costlab.lessons, matplotlib, torch
    """,
    "test": """
        import subprocess, sys
        tools = "pytest mypy ruff twine check_wheel_contents playwright check_jsonschema build"
        for tool in tools.split():
            subprocess.run([sys.executable, "-m", tool, "--version"], check=True, stdout=subprocess.DEVNULL)
        import axe_playwright_python, hypothesis, nbclient, nbval, polars
    """,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """An extra that works.

    Attributes
    ----------
    extra : str
        Its name; ``none`` for the package alone.
    version : str
        What ``costlab --version`` prints.
    packages : int
        Distributions in the environment.
    megabytes : float
        Size of the environment.
    install_s, work_s : float
        Seconds for the installation, and for the work.
    """

    extra: str
    version: str
    packages: int
    megabytes: float
    install_s: float
    work_s: float


def check(extra: str, wheel: Path) -> Checked:
    """Make the environment and try it.

    Parameters
    ----------
    extra : str
        Its name; empty for the package alone.
    wheel : Path
        The built wheel.

    Raises
    ------
    SystemExit
        If something does not work; with what was printed.
    """
    with tempfile.TemporaryDirectory(prefix="costlab-extra-") as name:
        folder = Path(name)
        began_s = time.monotonic()
        # Without a pip of its own, and without compiling what nobody imports: half of the time.
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
        python = str(folder / "venv" / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        install = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(CONSTRAINTS)]
        if extra in WITH_TORCH:
            _run([*install, "torch"], folder)
        _run([*install, f"{wheel}[{extra}]" if extra else str(wheel)], folder)
        installed_s = time.monotonic()
        empty = folder / "empty"
        empty.mkdir()
        version = _run([str(folder / "venv" / "bin" / "costlab"), "--version"], empty).strip()
        where = _run([python, "-c", "import costlab; print(costlab.__file__)"], empty)
        if not where.startswith(name):
            raise SystemExit(f"{extra or 'none'}: costlab comes from {where.strip()}, not from the wheel")
        program = f"REPOSITORY = {str(ROOT)!r}\n" + textwrap.dedent(EXTRAS[extra])
        _run([python, "-W", "ignore", "-c", program], empty)
        packages = json.loads(_run([*pip, "list", "--format", "json"], empty))
        size = sum(path.lstat().st_size for path in (folder / "venv").rglob("*") if path.is_file())
        return Checked(
            extra=extra or "none",
            version=version,
            packages=len(packages),
            megabytes=round(size / 1e6, 1),
            install_s=round(installed_s - began_s, 1),
            work_s=round(time.monotonic() - installed_s, 1),
        )


def _run(command: Sequence[str], folder: Path) -> str:
    # Nothing of this checkout or of the caller's environment may help.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from the source archive."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Check the extras that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extra", nargs="*", choices=["none", *filter(None, EXTRAS), []], help="by default all")
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--json", action="store_true", help="print one list of JSON objects")
    asked = parser.parse_args()
    wanted = ["" if name == "none" else name for name in asked.extra] or list(EXTRAS)
    failed, found = [], []
    with tempfile.TemporaryDirectory() as name:
        wheel = (asked.wheel or build(Path(name))).resolve()
        for extra in wanted:
            try:
                one = check(extra, wheel)
            except SystemExit as error:
                print(f"{extra or 'none'}: {error}", file=sys.stderr)
                failed.append(extra or "none")
                continue
            found.append(one)
            if not asked.json:
                print(
                    f"{one.extra:<12} works: {one.packages:>3} packages, {one.megabytes:>7,.0f} MB, "
                    f"installed in {one.install_s:g} s, tried in {one.work_s:g} s",
                    flush=True,
                )
    if asked.json:
        print(json.dumps([asdict(one) for one in found]))
    if failed:
        raise SystemExit(f"these do not work: {', '.join(failed)}")


if __name__ == "__main__":
    main()
