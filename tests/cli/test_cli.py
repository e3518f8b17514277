import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from costlab import __version__
from costlab.catalog import current_gpu_prices, current_store_prices
from costlab.cli import COMMANDS
from tests import needs
from tests.commands import Run, command_line

EXAMPLE = str(files("costlab.compare") / "example.toml")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys)


def test_gpu_shows_every_price_with_kind_and_date(run: Run) -> None:
    status, out, err = run("gpu", "A10G", "--count", "8")
    assert (status, err) == (0, "")
    for text in (
        "5,817.60",
        "1,728.00",
        "70.3%",
        "3,628.80",
        "37.6%",
        "lesson, 2026-01-01",
        "list_price",
        "5,760 GPU-hours",
    ):
        assert text in out


def test_gpu_json_is_one_object_with_the_source(run: Run) -> None:
    status, out, err = run("gpu", "A10G", "--count", "8", "--snapshot", "lesson", "--pricing", "on_demand", "--json")
    assert (status, err) == (0, "")
    (bill,) = json.loads(out)["bills"]
    assert bill["usd"] == 5817.60
    assert bill["gpu_hours"] == 5760
    assert bill["price"]["kind"] == "lesson"
    assert bill["price"]["checked"] == "2026-01-01"


def test_gpu_says_that_a_reservation_is_paid_for_hours_that_nobody_uses(run: Run) -> None:
    _, out, _ = run("gpu", "A10G", "--hours", "8", "--pricing", "reserved_1y", "--snapshot", "lesson")
    for text in (
        "453.60",
        "302.40",
        "87.1% more",
        "Reserved: paid for all 720 hours of the month, of which 33.3% are used.",
        "reserved_1y at lesson/unstated pays from 62.4% of them on, against on demand.",
        "Where no machine is named, GPUs are assumed to be sold in any number.",
    ):
        assert text in out


def test_gpu_says_that_a_machine_is_sold_whole(run: Run) -> None:
    _, out, _ = run("gpu", "A100 40GB", "--count", "1", "--provider", "aws")
    for text in (
        "15,809.50",
        "1 x p4d.24xlarge",
        "Machines are sold whole: 8 GPUs are paid where 1 is asked for (1 x p4d.24xlarge), ",
        "13,833.31 USD of it for nothing.",
    ):
        assert text in out
    assert "assumed" not in out
    lesson = run("gpu", "H100", "--gpus-per-replica", "3", "--snapshot", "lesson")[1]  # which names no machine
    assert "3 GPUs are paid where 1 is asked for (1 x 3-GPU machine), " in lesson
    (bill,) = json.loads(run("gpu", "B200", "--pricing", "on_demand", "--json")[1])["bills"]
    assert round(bill["usd"]) == 82_032
    assert (bill["gpus"], bill["paid_gpus"], bill["machines"][0]["count"]) == (1, 8, 1)


def test_gpu_has_one_bill_for_all_sizes_of_machine(run: Run) -> None:
    _, out, _ = run("gpu", "A10G", "--count", "4", "--gpus-per-replica", "4", "--snapshot", "list")
    assert out.count("1 x g5.12xlarge") == 2  # on demand, and reserved
    assert "g5.xlarge has fewer than 4 GPUs, and no larger machine is known there: a replica takes several." in out


def test_prices_lists_the_whole_catalogue(run: Run) -> None:
    status, out, err = run("prices", "--json")
    assert (status, err) == (0, "")
    assert len(json.loads(out)["prices"]) == len(current_gpu_prices())
    assert [price["name"] for price in json.loads(out)["store_prices"]] == [p.name for p in current_store_prices()]
    status, out, _ = run("prices", "--snapshot", "lesson")
    assert status == 0
    assert "0.1 per GB-month" in out
    assert "elasticache" not in out
    status, out, _ = run("prices", "--gpu", "A100_40")
    assert status == 0
    assert "with 8" in out  # p4d.24xlarge is sold whole
    assert "redis" not in out


def test_stale_prices_exit_1_and_fresh_ones_0(run: Run) -> None:
    status, out, _ = run("prices", "--stale", "180", "--as-of", "2099-01-01", "--json")
    listed = json.loads(out)["prices"]
    assert status == 1
    assert len(listed) == len(current_gpu_prices("list"))
    assert {price["snapshot"] for price in listed} == {"list"}
    stores = json.loads(out)["store_prices"]
    assert {price["snapshot"] for price in stores} == {"list"}
    _, out, _ = run("prices", "--stale", "180", "--as-of", "2099-01-01")
    assert f"{len(listed) + len(stores)} prices were checked more than 180 days ago" in out
    status, out, _ = run("prices", "--stale", "180", "--as-of", "2023-01-01")
    assert status == 0
    assert "0 prices were checked more than 180 days ago" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gpu", "A10"), "unknown GPU 'A10'; did you mean 'A10G'?"),
        (("gpu", ""), "unknown GPU ''; known: T4"),
        (("gpu", "A10G", "--count", "0"), "gpus must be a whole number >= 1, got 0"),
        (("gpu", "A10G", "--count", "-8"), "gpus must be a whole number >= 1, got -8"),
        (("gpu", "A10G", "--count", "eight"), "Invalid value for '--count': must be a whole number, got 'eight'"),
        (("gpu", "A10G", "--hours", "all"), "Invalid value for '--hours': must be a number, got 'all'"),
        (("gpu", "A10G", "--hours", "25"), "hours_per_day must be a number > 0 and <= 24, got 25.0"),
        (("gpu", "A10G", "--hours", "nan"), "hours_per_day must be a number > 0 and <= 24, got nan"),
        (("gpu", "A10G", "--days", "inf"), "days_per_month must be a number > 0 and <= 31, got inf"),
        (("gpu", "A10G", "--pricing", "spots"), "unknown pricing 'spots'; did you mean 'spot'?"),
        (("gpu", "A10G", "--snapshot", "lists"), "unknown snapshot 'lists'; did you mean 'list'?"),
        (("gpu", "A10G", "--provider", "azure"), "no price for 'A10G', provider='azure'"),
        (("gpu", "A10G", "--as-of", "soon"), "as_of must be a date such as 2026-01-31, got 'soon'"),
        (("gpu",), "Missing argument"),
        (("gpu", "A10G", "--cuont", "8"), "No such option: --cuont"),
        (("prices", "--stale", "-1"), "days must be a whole number >= 0, got -1"),
        (("prices", "--gpu", "B20"), "unknown GPU 'B20'; did you mean 'B200'?"),
        (("gpus",), "No such command 'gpus'"),
        (("bench", "device", "--device", "tpu"), "unknown device 'tpu'"),
        (("prices", "--gpu", ""), "unknown GPU ''; known: T4"),
        (("bench", "device", "--size", "0"), "size must be a whole number >= 1, got 0"),
        (("bench", "device", "--copy-mib", "-1"), "copy_mib must be a whole number >= 1, got -1"),
        (("bench", "device", "--repeats", "1"), "repeats must be a whole number >= 5, got 1"),
        (("compare",), "no workload file given; --example prints one to begin with"),
        (("compare", ""), "no workload file given; --example prints one to begin with"),
        (("compare", "no-such-file.toml"), "No such file or directory: 'no-such-file.toml'"),
        (("compare", "README.md"), "README.md is not TOML"),
        (("compare", EXAMPLE, "--gpu", "H1000"), "unknown GPU 'H1000'; did you mean 'H100'?"),
        (("compare", EXAMPLE, "--api", "gpt4oo"), "unknown model 'gpt4oo'; did you mean 'gpt-4o'?"),
        (("compare", EXAMPLE, "--as-of", "soon"), "as_of must be a date such as 2026-01-31, got 'soon'"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_errors_are_one_line_and_status_2(run: Run, arguments: tuple[str, ...], message: str, as_json: bool) -> None:
    if as_json and len(arguments) > 1:
        arguments = (*arguments, "--json")
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_installed_command_runs_without_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "costlab", "gpu", "H1000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: unknown GPU 'H1000'; did you mean 'H100'?\n"


def test_version_and_help(run: Run) -> None:
    assert run("--version")[1] == f"costlab {__version__}\n"
    status, out, _ = run("--help")
    assert status == 0
    for command in ("gpu", "prices", "bench", "cache", "compare"):
        assert command in out


@pytest.mark.parametrize("arguments", [(), ("bench",), ("cache",)])
def test_no_command_is_answered_with_the_help_alone(run: Run, arguments: tuple[str, ...]) -> None:
    status, out, err = run(*arguments)
    assert (status, err) == (2, "")
    assert "Usage: costlab" in out


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["--version"], "costlab.catalog pydantic rich numpy"),
        (["--help"], "costlab.catalog pydantic numpy"),
        (["bench", "--help"], "costlab.experiments.device pydantic numpy"),
        (["gpu", "A10G"], "costlab.monitoring costlab.router genai_prices pydantic numpy"),
        (["prices", "--json"], "genai_prices numpy"),
    ],
)
def test_a_command_loads_what_it_runs_and_no_more(arguments: list[str], unused: str) -> None:
    told = "print(*sys.modules, file=sys.stderr)"
    code = f"import sys\nfrom costlab.cli import main\ntry: main({arguments})\nfinally: {told}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stderr.split()) & set(unused.split())


def table(commands: dict[str, Any], *words: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each command with its line of help and where its function is."""
    for name, (text, place) in commands.items():
        if isinstance(place, dict):
            yield from table(place, *words, name)
        else:
            yield (*words, name), text, place


@pytest.mark.parametrize(("words", "text", "place"), [*table(COMMANDS)])
def test_a_list_of_commands_says_of_each_what_its_function_says(words: tuple[str, ...], text: str, place: str) -> None:
    module, _, name = place.partition(":")
    function = getattr(importlib.import_module(f"costlab.cli.{module}"), name)
    assert words == ("bench",) or inspect.getdoc(function) == text


def test_absurd_but_valid_numbers_are_answered_in_full(run: Run) -> None:
    status, out, _ = run("prices", "--stale", "100000000000")
    assert status == 0
    assert "0 prices were checked more than 100000000000 days ago" in out
    status, out, _ = run("gpu", "T4", "--count", str(10**20), "--snapshot", "list")
    assert status == 0
    assert "…" not in out  # a bill is never cut short


def test_compare_prints_bills_break_even_range_decision_and_sources(run: Run) -> None:
    status, out, err = run("compare", EXAMPLE)
    assert (status, err) == (0, "")
    for text in (
        "60,000 requests a day of 1,500 tokens in (30% of them cached) and 250 out, peak 2.5 x mean",
        "gpt-4.1-mini at openai",
        "Llama-3.1-8B fp8 on L4",
        "break-even: 375,328 requests a day",
        "90 % of the draws",
        "100,000 draws, seed 0",
        "recommendation: api",
        "0.4 USD/Mtok in, 1.6 out, on 2026-11-09 (genai-prices 0.2.3",
        "0.8048 USD per GPU-hour (aws/us-east-1, list_price, 2026-09-06",
        "estimated by the roofline, batch 40, limited by inter-token latency, MBU 0.78, MFU 0.73, 75 us a layer",
        "what this GPU reaches was not measured; with what others reach, 1.31 to 1.85 requests/s",
    ):
        assert text in out


def test_compare_json_is_one_object_that_says_the_same(run: Run) -> None:
    status, out, err = run("compare", EXAMPLE, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert round(found["break_even"]["requests_per_day"]) == 375_328
    assert found["recommendation"]["choice"] == "api"
    assert found["saving"]["seed"] == 0
    assert found["apis"][0]["cost"]["price"]["as_of"] == "2026-11-09"
    # What is infinite is null: a break-even that does not exist is no number.
    _, out, _ = run("compare", EXAMPLE, "--api", "gpt-4o-mini", "--json")
    assert json.loads(out)["break_even"]["requests_per_day"] is None


def test_the_example_that_is_printed_can_be_compared(run: Run, tmp_path: Path) -> None:
    status, text, _ = run("compare", "--example")
    assert status == 0
    (tmp_path / "mine.toml").write_text(text)
    assert run("compare", str(tmp_path / "mine.toml"))[1] == run("compare", EXAMPLE)[1]
    status, out, _ = run("compare", EXAMPLE, "--gpu", "T4", "--gpu", "a100_80")
    assert status == 0
    assert "Llama-3.1-8B fp8 on T4" in out
    assert "Llama-3.1-8B fp8 on A100 80GB" in out
    assert "Llama-3.1-8B fp8 on T4: what this GPU reaches was not measured" in out
    assert "Llama-3.1-8B fp8 on A100 80GB: what this GPU reaches" not in out


def test_compare_says_what_a_price_leaves_out(run: Run) -> None:
    _, out, _ = run("compare", EXAMPLE, "--api", "sonar", "--api", "gpt-4.1-mini")
    assert "sonar at perplexity: 1 USD/Mtok in, 1 out, on 2026-11-09, 0.012 a request" in out
    assert "gpt-4.1-mini at openai: not counted: storage_searches" in out


def test_compare_prints_names_as_they_are(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    text = (files("costlab.compare") / "example.toml").read_text().replace("Llama-3.1-8B", "my [/model]")
    path.write_text(text.replace("max_ttft_s = 1.5", "requests_per_s = 2.0\nmax_ttft_s = 1.5"))
    status, out, err = run("compare", str(path))
    assert (status, err) == (0, "")
    assert "my [/model] fp8 on L4" in out


def test_compare_json_has_no_private_fields(run: Run) -> None:
    assert '"_rates"' not in run("compare", EXAMPLE, "--json")[1]


def test_compare_says_what_does_not_fit(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "big.toml"
    path.write_text((files("costlab.compare") / "example.toml").read_text().replace("Llama-3.1-8B", "Llama-3.1-70B"))
    status, out, _ = run("compare", str(path))
    assert status == 0
    assert "not served: Llama-3.1-70B fp8 on L4: the weights take 70.6 GB, and 21.6 of 24 GB may be filled" in out


def test_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m costlab prices | head -n 1 >/dev/null"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_folder_that_is_not_there(run: Run, tmp_path: Path) -> None:
    needs.extra("torch", "models")
    small = ("--device", "cpu", "--repeats", "5", "--copy-mib", "1", "--size", "8", "--json", "--record")
    status, out, err = run("bench", "device", *small, "--folder", str(tmp_path))
    assert status == 0
    assert json.loads(out)["experiment"] == "device"
    assert err == "recorded in device-cpu.json\n"
    status, _, err = run("bench", "device", *small, "--folder", str(tmp_path / "absent"))
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
