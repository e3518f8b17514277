"""The process of a :class:`costlab.experiments.LlamaServer`: a script of its own, which needs xllamacpp alone.

Its one argument is a JSON object. It says on its output what is done, a line each, and ends with its input: so it does
not outlive the process that started it, however that ends.
"""

import json
import os
import signal
import sys


def main() -> None:
    """Start llama.cpp's server as asked, and serve until the input ends."""
    asked = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the process that started this one
    _say("interpreter")
    import xllamacpp

    _say("library")
    params = xllamacpp.CommonParams()
    params.model.path = asked["file"]
    params.model_alias = {asked["model"]}
    params.port = asked["port"]
    params.n_parallel = asked["slots"]
    params.n_ctx = asked["slots"] * asked["context_tokens"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.cache_prompt = asked["prefix_cache"]
    params.cache_ram_mib = 0  # a slot's prompts are reused from the slot alone
    params.endpoint_metrics = True
    params.ui = False
    if asked["draft_tokens"]:
        params.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
        params.speculative.ngram_simple.size_m = asked["draft_tokens"]
        params.speculative.ngram_simple.size_n = asked["match_tokens"]
    server = xllamacpp.Server(params)
    _say(server.listening_address)
    sys.stdin.read()
    os._exit(0)  # its own end waits for requests that are being answered, and was seen to wait for ever


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
