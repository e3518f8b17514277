import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest

from costlab.datasets import azure_llm_trace, banking77, clinc150
from costlab.datasets.public import UpstreamFile, local_path
from costlab.errors import DatasetError, UnknownNameError
from tests import needs

published = pytest.mark.skipif(
    "COSTLAB_DATA_DIR" not in os.environ, reason="COSTLAB_DATA_DIR names no folder with the published files"
)


@published
def test_clinc150_is_whole() -> None:
    data = clinc150()
    sizes = Counter(query.split for query in data.queries)
    assert sizes == {"train": 15_000, "val": 3000, "test": 4500, "oos_train": 100, "oos_val": 100, "oos_test": 1000}
    assert len({query.intent for query in data.split("train")}) == 150
    assert {query.intent for query in data.split("oos_test")} == {"oos"}
    assert data.licence == "CC BY 3.0"
    assert "Larson" in data.citation


@published
def test_banking77_is_whole() -> None:
    data = banking77()
    assert (len(data.split("train")), len(data.split("test"))) == (10_003, 3080)
    assert len({query.intent for query in data.queries}) == 77
    assert data.licence == "CC BY 4.0"
    with pytest.raises(UnknownNameError, match="unknown split 'val'"):
        data.split("val")


@published
@pytest.mark.parametrize(("kind", "requests"), [("conversation", 19_366), ("code", 8819)])
def test_azure_trace_is_whole_and_in_order(kind: str, requests: int) -> None:
    trace = azure_llm_trace(kind)
    assert len(trace.arrival_s) == len(trace.context_tokens) == len(trace.generated_tokens) == requests
    assert trace.arrival_s[0] == 0
    assert list(trace.arrival_s) == sorted(trace.arrival_s)
    assert 3300 < trace.arrival_s[-1] < 3600
    assert min(trace.generated_tokens) >= 0
    assert trace.licence == "CC BY 4.0"


def test_unknown_kind_of_trace() -> None:
    with pytest.raises(UnknownNameError, match="unknown kind of trace 'chat'; known: conversation, code"):
        azure_llm_trace("chat")


def example(content: bytes = b"rows") -> UpstreamFile:
    return UpstreamFile("rows.csv", "http://127.0.0.1:9/rows.csv", hashlib.sha256(content).hexdigest())


def test_a_file_in_the_folder_is_taken_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_bytes(b"rows")
    monkeypatch.setenv("COSTLAB_DATA_DIR", str(tmp_path))
    assert local_path(example()) == tmp_path / "rows.csv"


def test_another_file_in_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_bytes(b"rows, edited")
    monkeypatch.setenv("COSTLAB_DATA_DIR", str(tmp_path))
    with pytest.raises(
        DatasetError, match=r"rows.csv is not the published file: its sha256 is not \w{64}; get it at http"
    ):
        local_path(example())


@pytest.mark.parametrize("folder", [None, "empty"])
def test_without_network_the_error_says_where_to_get_the_file(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs.extra("pooch", "datasets")
    import pooch

    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    if folder is None:
        monkeypatch.delenv("COSTLAB_DATA_DIR", raising=False)
    else:
        monkeypatch.setenv("COSTLAB_DATA_DIR", str(tmp_path))
    # Port 9 of this machine: nobody answers there.
    with pytest.raises(DatasetError) as caught:
        local_path(example())
    assert str(caught.value) == (
        "rows.csv could not be fetched (ConnectionError); "
        "get it at http://127.0.0.1:9/rows.csv and name its folder in COSTLAB_DATA_DIR"
    )
    assert isinstance(caught.value, OSError)
    assert capsys.readouterr().err == ""


def test_a_download_is_verified_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("pooch", "datasets")
    import threading
    from http.server import HTTPServer, SimpleHTTPRequestHandler

    import pooch

    class Quiet(SimpleHTTPRequestHandler):
        served = 0

        def do_GET(self) -> None:
            Quiet.served += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"rows")

        def log_message(self, *arguments: object) -> None:
            pass

    monkeypatch.delenv("COSTLAB_DATA_DIR", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    with HTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/rows.csv"
        file = UpstreamFile("rows.csv", url, hashlib.sha256(b"rows").hexdigest())
        assert local_path(file).read_bytes() == b"rows"
        assert local_path(file).read_bytes() == b"rows"
        assert Quiet.served == 1
        with pytest.raises(DatasetError, match=r"other\.csv could not be fetched"):
            local_path(UpstreamFile("other.csv", url, hashlib.sha256(b"else").hexdigest()))
        server.shutdown()
