"""A real Prometheus on loopback with the exported rules, and what it answers."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from costlab.cache.server import free_port
from costlab.monitoring import export_files
from tests import needs


def until(holds: Callable[[], Any], within_s: float = 60) -> Any:
    """What `holds` returns, once that is true; where nobody listens yet, it is not."""
    ends = time.monotonic() + within_s
    while True:
        try:
            if found := holds():
                return found
        except OSError:
            pass
        assert time.monotonic() < ends
        time.sleep(0.1)


def ask(url: str) -> Any:
    """The JSON at an address."""
    with urlopen(url, timeout=5) as answer:
        return json.loads(answer.read())


def answers(address: str, query: str) -> list[Any]:
    """The series that a query finds."""
    found: list[Any] = ask(f"{address}/api/v1/query?query={quote(query)}")["data"]["result"]
    return [one for one in found if one["value"][1] != "NaN"]


def value(address: str, query: str) -> float | None:
    """The only number that a query finds."""
    found = [float(one["value"][1]) for one in answers(address, query)]
    assert len(found) < 2, found
    return found[0] if found else None


def firing(address: str) -> set[str]:
    """The alarms that are raised."""
    found = ask(f"{address}/api/v1/alerts")["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[str]:
    """The address of a Prometheus that scrapes a target and evaluates the exported rules once a second."""
    import yaml

    program = needs.program("prometheus", install="apt-get install prometheus")
    files = export_files(target)
    config = yaml.safe_load(files["prometheus/prometheus.yml"])
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "costlab.rules.yml").write_text(files["prometheus/costlab.rules.yml"])
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:

            def scrapes() -> bool:
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                return value(f"http://{address}", 'up{job="costlab"}') == 1

            until(scrapes)
            yield f"http://{address}"
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
