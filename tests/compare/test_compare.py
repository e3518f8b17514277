"""From a workload file to a decision."""

import math
from dataclasses import asdict
from pathlib import Path

import pytest

from costlab.build_vs_buy import break_even
from costlab.compare import (
    WorkloadFileError,
    compare,
    example_workload,
    explanation,
    heading,
    load_workload,
    option_rows,
    parse_workload,
)
from costlab.errors import AmbiguousPriceError

HEAD = "[workload]\nrequests_per_day = 100_000\ninput_tokens = 400\noutput_tokens = 200\n"
API = '[[api]]\nmodel = "gpt-4o"\n'
OWN = '[[self_hosted]]\nmodel = "Llama-3.1-8B"\ngpu = "L4"\nprovider = "aws"\nrequests_per_s = 2.0\n'


def test_the_shipped_example_is_a_whole_scenario() -> None:
    found = compare(parse_workload(example_workload()))
    assert len(found.apis) == 2
    assert len(found.owns) == 1
    assert found.recommendation.choice == "api"
    assert found.break_even is not None
    assert found.break_even.reachable


def test_what_the_file_gives_is_what_is_compared() -> None:
    found = compare(parse_workload(HEAD + API + OWN))
    (own,) = found.owns
    assert own.capacity is None  # a measured rate needs no roofline
    assert own.option is not None
    assert own.option.capacity_requests_per_s == 2.0
    # 0.0010 + 0.0020 a request against L4s at 0.8048, loaded to 80 % of two a second.
    even = break_even(0.003, 0.8048, 2.0 * 0.8)
    assert found.break_even == even
    assert math.isclose(found.recommendation.options[0].running_usd_per_month, 0.8048 * 730)


AGENT = HEAD.replace("= 400", "= 20_000") + "cached_prefix_tokens = 15_000\nreads_per_cache_write = 9\n"
CLAUDE = '[[api]]\nmodel = "claude-sonnet-4-5"\n'


def test_a_prefix_is_written_once_and_read_until_it_is_written_again() -> None:
    # One request in ten writes 15,000 of its 20,000 tokens, and nine read them: 3 USD a million in, 0.30 read, 3.75
    # written, 6 written for an hour (Anthropic, prompt caching); 200 tokens out at 15.
    plain = 5_000 * 3e-6 + 200 * 15e-6
    for lifetime, rate in (("5m", 3.75e-6), ("1h", 6e-6)):
        file = parse_workload(f'{AGENT}cache_lifetime = "{lifetime}"\n{CLAUDE}{OWN}')
        usd = compare(file).apis[0].cost.usd_per_request
        assert math.isclose(usd, plain + 15_000 * (0.9 * 0.3e-6 + 0.1 * rate))
    told = heading(compare(file))
    assert "20,000 tokens in (68% of them cached, 8% of them written to the cache)" in told
    # Without any cache it is dearer; with one that is never read again, dearest.
    none = compare(parse_workload(AGENT.split("cached_prefix")[0] + CLAUDE + OWN)).apis[0].cost.usd_per_request
    lost = compare(parse_workload(AGENT.replace("= 9", "= 0") + CLAUDE + OWN)).apis[0].cost.usd_per_request
    assert usd < none < lost


def test_the_same_in_shares() -> None:
    shares = "cached_input_fraction = 0.675\ncache_write_fraction = 0.075\n"
    by_share = compare(parse_workload(AGENT.split("cached_prefix")[0] + shares + CLAUDE + OWN))
    by_prefix = compare(parse_workload(AGENT + CLAUDE + OWN))
    assert math.isclose(by_share.apis[0].cost.usd_per_request, by_prefix.apis[0].cost.usd_per_request)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "cached_prefix_tokens = 300\n",
            "w: workload.reads_per_cache_write must be given where cached_prefix_tokens is",
        ),
        ("reads_per_cache_write = 9\n", "workload.cached_prefix_tokens must be above 0 and at most input_tokens (400)"),
        ("reads_per_cache_write = 9\ncached_prefix_tokens = 401\n", "workload.cached_prefix_tokens must be above 0"),
        (
            "reads_per_cache_write = 9\ncached_prefix_tokens = 4\ncached_input_fraction = 0.1\n",
            "workload.reads_per_cache_write must be left out where cached_input_fraction is given, got 9",
        ),
        ("cached_input_fraction = 0.6\ncache_write_fraction = 0.5\n", "workload.cache_write_fraction must be at most"),
        ("reasoning_tokens = 201\n", "workload.reasoning_tokens must be at most output_tokens (200)"),
        ('cache_lifetime = "2h"\n', "workload.cache_lifetime must be '5m' or '1h', got '2h'"),
    ],
)
def test_a_cache_that_cannot_be_is_named(keys: str, message: str) -> None:
    with pytest.raises(WorkloadFileError) as caught:
        parse_workload(HEAD + keys + API + OWN, "w")
    assert message in str(caught.value)


def test_an_api_by_the_batch_and_with_a_discount_is_one_more_option() -> None:
    batch = CLAUDE + 'service_tier = "batch"\n'
    less = CLAUDE + "discount_fraction = 0.12\n"
    found = compare(parse_workload(HEAD + CLAUDE + batch + less + OWN))
    whole, half, ours = (quote.cost.usd_per_request for quote in found.apis)
    assert [half / whole, ours / whole] == pytest.approx([0.5, 0.88])
    assert [quote.option.name for quote in found.apis] == [
        "claude-sonnet-4-5 at anthropic",
        "claude-sonnet-4-5 at anthropic (batch tier)",
        "claude-sonnet-4-5 at anthropic (less 0.12 of the list price)",
    ]


BY_EIGHT = OWN.replace('"L4"', '"A100 40GB"') + "spare_replicas = 1\nfixed_usd_per_month = 4_000\n"


def test_two_replicas_pay_the_machine_of_eight() -> None:
    """AWS rents the A100 40GB by eight, at 21.957642 USD an hour: 16,029 a month, and 4,000 for people."""
    found = compare(parse_workload(HEAD + API + BY_EIGHT))
    cost = next(cost for cost in found.recommendation.options if cost.kind == "self-host")
    assert (cost.replicas, round(cost.running_usd_per_month)) == (2, 20_029)
    assert round(cost.unused_usd_per_month) == 12_022  # six of eight
    assert option_rows(found)[0][3] == "of it unused"
    told = explanation(found)
    assert "1 x p4d.24xlarge, 8 GPUs for the 2 that work, 12,022 USD a month of it for nothing" in told
    # Google sells the same GPU one by one.
    one_by_one = compare(parse_workload(HEAD + API + BY_EIGHT.replace("aws", "gcp")))
    cost = next(cost for cost in one_by_one.recommendation.options if cost.kind == "self-host")
    assert math.isclose(cost.running_usd_per_month, 2 * 3.673385 * 730 + 4_000)
    assert cost.unused_usd_per_month == 0
    assert "sold whole" not in explanation(one_by_one)


def test_a_replica_of_several_gpus_sits_in_a_machine_that_holds_it() -> None:
    big = OWN.replace('"L4"', '"A10G"') + "gpus_per_replica = 2\n"
    (side,) = compare(parse_workload(HEAD + API + big)).owns
    assert side.machine.name == "g5.12xlarge"  # four for 5.672 USD, and not twice 1.006
    assert side.option is not None
    assert math.isclose(side.option.place_usd_per_hour, 5.672 / 2)
    # Three replicas of three GPUs: a machine of four holds one, a machine of eight two.
    three = compare(parse_workload(HEAD.replace("100_000", "400_000") + API + big.replace("= 2\n", "= 3\n")))
    cost = next(cost for cost in three.recommendation.options if cost.kind == "self-host")
    assert (three.owns[0].machine.name, cost.replicas) == ("g5.12xlarge", 3)
    assert math.isclose(cost.running_usd_per_month, 3 * 5.672 * 730)
    assert math.isclose(cost.unused_usd_per_month, 3 * 5.672 / 4 * 730)


def test_in_which_numbers_a_gpu_is_sold_is_said_or_assumed_aloud() -> None:
    of_the_file = OWN.replace('provider = "aws"', "usd_per_gpu_hour = 2.0")
    for text in (of_the_file, OWN.replace('"aws"', '"lesson"\nsnapshot = "lesson"')):
        found = compare(parse_workload(HEAD + API + text))
        assert "in which numbers its GPUs are sold: each replica's are taken to be" in explanation(found)
    found = compare(parse_workload(HEAD + API + of_the_file + "gpus_per_machine = 4\n"))
    assert "1 x 4-GPU machine, 4 GPUs for the 1 that work, 4,380 USD a month of it for nothing" in explanation(found)
    on_google = BY_EIGHT.replace("aws", "gcp") + "gpus_per_replica = 2\n"
    told = explanation(compare(parse_workload(HEAD + API + on_google)))
    assert "a2-highgpu-1g has 1 of the 2 GPUs of a replica, and no larger machine is known there" in told
    with pytest.raises(WorkloadFileError, match="usd_per_gpu_hour; aws/us-east-1 sells machines with 1 or 4 or 8 L4"):
        compare(parse_workload(HEAD + API + OWN + "gpus_per_machine = 8\n"))


def test_gpus_and_models_of_the_command_line_replace_the_files() -> None:
    found = compare(parse_workload(HEAD + API + OWN), api=["gpt-4o-mini", "gpt-4.1"], gpu_names=["A10G"])
    assert [side.cost.price.model for side in found.apis] == ["gpt-4o-mini", "gpt-4.1"]
    (own,) = found.owns
    assert own.name == "Llama-3.1-8B bf16 on A10G"
    assert own.capacity is not None  # the L4's measured rate is not an A10G's
    assert own.price is not None
    assert own.price.gpu == "A10G"


def test_a_model_that_does_not_fit_is_named_with_its_reason() -> None:
    big = OWN.replace("Llama-3.1-8B", "Llama-3.1-70B").replace("requests_per_s = 2.0\n", "")
    found = compare(parse_workload(HEAD + API + big))
    (own,) = found.owns
    assert own.option is None
    assert own.capacity is not None
    assert "141.1 GB" in own.capacity.reasons[0]
    assert (found.pair, found.break_even, found.saving, found.matters) == ((), None, None, None)
    with pytest.raises(WorkloadFileError, match=r"nothing to compare; Llama-3.1-70B .*the weights take 141.1 GB"):
        compare(parse_workload(HEAD + big))


def test_uncertainty_follows_the_file_and_the_seed() -> None:
    keys = ("requests_per_day", "tokens", "peak", "api_price", "gpu_price", "throughput", "people")
    certain = "[uncertainty]\n" + "".join(f"{key} = 1\n" for key in keys)
    found = compare(parse_workload(HEAD + API + OWN + certain))
    assert found.saving is not None
    assert found.saving.quantiles[0.05] == found.saving.quantiles[0.95]
    costs = {cost.kind: cost.running_usd_per_month for cost in found.recommendation.options}
    assert math.isclose(found.saving.quantiles[0.5], costs["api"] - costs["self-host"])
    loose = parse_workload(HEAD + API + OWN)
    assert asdict(compare(loose, seed=1)) == asdict(compare(loose, seed=1))
    assert compare(loose, seed=1).saving != compare(loose, seed=2).saving


CERTAIN = "[uncertainty]\n" + "\n".join(
    f"{name} = 1" for name in ("requests_per_day", "tokens", "peak", "api_price", "gpu_price", "throughput", "people")
)


@pytest.mark.parametrize("gpu", ["L4", "A100 40GB"])
@pytest.mark.parametrize("more", ["", "fixed_usd_per_month = 2_000\n"])
def test_the_saving_is_the_difference_of_the_bills(more: str, gpu: str) -> None:
    """Also where the API costs something every month, and one's own replicas have people, spares and a peak."""
    head = HEAD + "peak_to_mean = 2.5\n"
    own = OWN.replace("L4", gpu) + "fixed_usd_per_month = 1_000\nspare_replicas = 1\n"
    own += "marginal_usd_per_request = 0.0001\n"
    found = compare(parse_workload(head + API + more + own + CERTAIN))
    costs = {cost.kind: cost.running_usd_per_month for cost in found.recommendation.options}
    assert found.saving is not None
    assert found.break_even is not None
    assert found.break_even_range is not None
    assert math.isclose(found.saving.quantiles[0.5], costs["api"] - costs["self-host"])
    assert math.isclose(found.break_even_range.quantiles[0.5], found.break_even.requests_per_day)


def test_a_server_reuses_prefixes_as_an_api_does_unless_said_otherwise() -> None:
    head = HEAD + "cached_input_fraction = 0.5\n"
    own = OWN.replace("requests_per_s = 2.0\n", "")
    rates = []
    for text in (own, own + "prefix_cached_fraction = 0.0\n"):
        (side,) = compare(parse_workload(head + API + text)).owns
        assert side.option is not None
        rates.append(side.option.capacity_requests_per_s)
    assert rates[0] > rates[1]


def test_entries_that_differ_in_one_thing_can_be_compared() -> None:
    own = OWN.replace("requests_per_s = 2.0\n", "")
    found = compare(parse_workload(HEAD + API + own + own + "max_inter_token_s = 0.09\n"))
    assert [side.name for side in found.owns] == ["Llama-3.1-8B bf16 on L4", "Llama-3.1-8B bf16 on L4 #2"]
    assert len(compare(parse_workload(HEAD + API + OWN), gpu_names=["L4", "l4"]).owns) == 1


def test_a_gpu_of_ones_own_needs_no_catalogue() -> None:
    own = '[[self_hosted]]\nmodel = "ours"\ngpu = "MI300X"\nusd_per_gpu_hour = 2.0\nrequests_per_s = 5.0\n'
    (side,) = compare(parse_workload(HEAD + API + own)).owns
    assert side.name == "ours bf16 on MI300X"
    assert side.price is None


def test_embeddings_are_compared_too() -> None:
    text = HEAD.replace("= 200", "= 0") + '[[api]]\nmodel = "text-embedding-3-small"\nprovider = "openai"\n'
    (side,) = compare(parse_workload(text + OWN.replace("requests_per_s = 2.0\n", ""))).owns
    assert side.capacity is not None
    assert side.capacity.bound_by == "arithmetic"


def test_dates_are_written_either_way(tmp_path: Path) -> None:
    for day in ("2025-06-09", '"2025-06-09"'):
        found = compare(parse_workload(HEAD + f'[[api]]\nmodel = "o3"\nas_of = {day}\n'))
        assert found.apis[0].cost.input_usd == 400 * 10e-6
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + API).encode())
    assert load_workload(path).workload().input_tokens == 400


def test_images_come_in_a_quality() -> None:
    text = HEAD.replace("= 400", "= 0").replace("= 200", "= 0") + 'images = 1\n[[api]]\nmodel = "gpt-image-1"\n'
    found = compare(parse_workload(text + 'quality = "medium"\n'))
    assert math.isclose(found.apis[0].option.usd_per_request, 0.04224)


def test_without_traffic_the_api_wins() -> None:
    found = compare(parse_workload(HEAD.replace("100_000", "0") + API + OWN))
    assert found.recommendation.choice == "api"
    assert found.saving is not None
    assert found.saving.positive_fraction == 0


def test_images_are_compared_too() -> None:
    text = HEAD.replace("100_000", "10_000").replace("400", "0").replace("200", "0") + "images = 1\n"
    text += API.replace("gpt-4o", "dall-e-3")
    found = compare(parse_workload(text + OWN.replace("L4", "A10G").replace("= 2.0", "= 0.1")))
    assert math.isclose(found.apis[0].option.usd_per_request, 0.04)
    assert found.recommendation.choice == "self-host"


def test_a_gpu_that_two_providers_sell_needs_its_provider_named() -> None:
    with pytest.raises(AmbiguousPriceError, match="name the provider"):
        compare(parse_workload(HEAD + API + OWN.replace('"L4"\nprovider = "aws"', '"A100 40GB"')))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "w.toml: workload is missing"),
        ("a = " + "[" * 3000, "w.toml is not a workload file: it is nested too deeply"),
        ("nonsense", "w.toml is not TOML: Expected '='"),
        (HEAD.replace("100_000", "-5"), "w.toml: workload.requests_per_day must be >= 0, got -5"),
        (HEAD.replace("100_000", "nan"), "workload.requests_per_day must be a finite number, got nan"),
        (HEAD.replace("100_000", "1e308"), "workload.requests_per_day must be <= 1000000000000000, got 1e+308"),
        (HEAD.replace("100_000", '"many"'), "workload.requests_per_day must be a valid number, got 'many'"),
        (HEAD.replace("100_000", "true"), "workload.requests_per_day must be a valid number, got True"),
        (HEAD.replace("output_tokens", "outputtokens"), "workload.output_tokens is missing"),
        (HEAD + "peak_to_men = 2\n", "unknown key workload.peak_to_men; did you mean 'peak_to_mean'?"),
        (HEAD + "[apis]\n", "unknown key apis; did you mean 'api'?"),
        (HEAD + API + 'modle = "x"\n', "unknown key api.1.modle; did you mean 'model'?"),
        (HEAD + OWN + "gpus_per_replica = 0\n", "self_hosted.1.gpus_per_replica must be >= 1, got 0"),
        (HEAD + OWN + 'weights = "fp3"\n', "self_hosted.1.weights must be 'bf16', 'fp8', 'int8' or 'int4', got 'fp3'"),
        (HEAD + OWN + "max_utilization_fraction = 80\n", "max_utilization_fraction must be <= 1, got 80"),
        (HEAD + "[uncertainty]\npeople = 0.5\n", "uncertainty.people must be >= 1, got 0.5"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "w.toml"
    path.write_text(text)
    with pytest.raises(WorkloadFileError) as caught:
        load_workload(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkloadFileError, match=r"w\.toml is not a text in UTF-8"):
        load_workload(path)


def test_nothing_to_compare() -> None:
    with pytest.raises(WorkloadFileError, match="nothing to compare"):
        compare(parse_workload(HEAD))
    with pytest.raises(WorkloadFileError, match=r"no .* entry that another GPU could take over"):
        compare(parse_workload(HEAD + API), gpu_names=["L4"])


ESTIMATED = OWN.replace("requests_per_s = 2.0\n", 'weights = "fp8"\n')


def test_a_gpu_that_nobody_measured_carries_the_range_of_others() -> None:
    found = compare(parse_workload(HEAD + API + ESTIMATED + "\n[uncertainty]\nthroughput = 1.0\n"))
    (own,) = found.owns
    assert own.option is not None
    assert own.efficiency is not None
    assert own.slow_requests_per_s is not None
    assert own.fast_requests_per_s is not None
    assert own.slow_requests_per_s < own.option.capacity_requests_per_s < own.fast_requests_per_s
    assert found.matters is not None
    (rate,) = (bar for bar in found.matters.bars if bar.name == "throughput")
    assert (rate.low, rate.high) == (own.slow_requests_per_s, own.fast_requests_per_s)
    assert "what this GPU reaches was not measured" in explanation(found)


def test_a_gpu_that_was_measured_and_figures_of_your_own_have_no_range() -> None:
    own_figures = ESTIMATED + "mbu_fraction = 0.6\nmfu_fraction = 0.4\n"
    for text in (ESTIMATED.replace('"L4"', '"H100"'), own_figures):
        found = compare(parse_workload(HEAD + API + text))
        (own,) = found.owns
        assert own.option is not None
        assert own.slow_requests_per_s == own.fast_requests_per_s == own.option.capacity_requests_per_s
        assert "was not measured" not in explanation(found)
    assert "MBU 0.60, MFU 0.40, 0 us a layer" in explanation(found)
