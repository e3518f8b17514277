"""A language model in this process, on transformers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError
from costlab.router.models.protocol import ModelError, Prediction, TokenUsage, Workers, mean_probability, quoted

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersModel:
    """A causal language model of transformers, in this process; sure as its tokens are probable.

    Parameters
    ----------
    model, tokenizer : transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase
        The model, which answers one query at a time, and its tokenizer.
    system, parse : str, callable, optional
        As for :class:`EndpointModel`.
    max_tokens : int
        Most tokens of an answer, >= 1.

    Notes
    -----
    The likeliest token is taken at each step, so that the same query has the same answer. A tokenizer without a chat
    template gets the instructions and the query as plain text. A call that is cancelled ends with the token under way.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system: str = "",
        parse: Callable[[str], object] | None = None,
        max_tokens: int = 64,
    ) -> None:
        with extra("models"):
            import torch  # noqa: F401
        model.eval()  # type: ignore[no-untyped-call]
        self._model: Any = model
        self._tokenizer = tokenizer
        self._system, self._parse = system, parse
        self._max_tokens = checks.integer("max_tokens", max_tokens, at_least=1)
        self._workers = Workers(1)

    @classmethod
    def from_folder(cls, folder: Path, *, gguf_file: str | None = None, **settings: Any) -> TransformersModel:
        """A model that lies in a folder, as transformers saves it; nothing is fetched.

        Parameters
        ----------
        folder, gguf_file : pathlib.Path, str, optional
            Where weights, configuration and tokenizer lie; name of a GGUF file there, which is then read instead with
            the package gguf.
        **settings
            As for the class.

        Raises
        ------
        InvalidValueError
            If there is no such folder. transformers itself would take its path for a name on a hub.
        OSError, ValueError
            If there is no model in the folder, in transformers' own words.
        """
        with extra("models"):
            import torch  # noqa: F401
        with extra("router"):
            import transformers
        if not Path(folder).is_dir():
            raise InvalidValueError("folder", "a folder that exists", str(folder))
        where = {"local_files_only": True} | ({"gguf_file": gguf_file} if gguf_file else {})
        return cls(
            transformers.AutoModelForCausalLM.from_pretrained(folder, **where),
            transformers.AutoTokenizer.from_pretrained(folder, **where),
            **settings,
        )

    async def predict(self, query: str) -> Prediction:
        """What the model says to the query.

        Raises
        ------
        ModelError
            If it says nothing, or nothing that is an answer, with the tokens that it took.
        """
        cancelled = threading.Event()
        try:
            return await self._workers.run(lambda: self._answer(query, cancelled))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def _answer(self, query: str, cancelled: threading.Event) -> Prediction:
        import torch

        tokens = self._tokens(query)
        length = tokens["input_ids"].shape[1]
        if not length:
            raise ModelError("the query has no tokens")

        def stop(ids: torch.Tensor, _scores: torch.Tensor, **_: object) -> torch.Tensor:
            return torch.full((len(ids),), cancelled.is_set(), dtype=torch.bool, device=ids.device)

        with torch.inference_mode():
            output: Any = self._model.generate(
                **tokens,
                max_new_tokens=self._max_tokens,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
                stopping_criteria=[stop],
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            )
        written = output.sequences[0, length:]
        logits = torch.stack(output.logits)[:, 0].float()
        logs = torch.log_softmax(logits, dim=-1)[torch.arange(len(written)), written]
        usage = TokenUsage(input_tokens=length, output_tokens=len(written))
        words = str(self._tokenizer.decode(written, skip_special_tokens=True)).strip()
        if not words:
            raise ModelError("the model gave no answer", usage)
        try:
            answer = words if self._parse is None else self._parse(words)
        except Exception as error:  # whatever it raises, the tokens were made
            raise ModelError(f"not an answer: {quoted(words)} ({error})", usage) from error
        # An answer that fills its limit without the token that ends one was cut off.
        ends = self._model.generation_config.eos_token_id
        ended = int(written[-1]) in (ends if isinstance(ends, list) else [ends])
        return Prediction(answer, mean_probability(logs.tolist()), usage, ended or len(written) < self._max_tokens)

    def _tokens(self, query: str) -> dict[str, torch.Tensor]:
        if getattr(self._tokenizer, "chat_template", None):
            messages = [{"role": "system", "content": self._system}] if self._system else []
            messages.append({"role": "user", "content": query})
            encoded: Any = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        else:
            encoded = self._tokenizer("\n".join(filter(None, (self._system, query))), return_tensors="pt")
        return {key: encoded[key].to(self._model.device) for key in ("input_ids", "attention_mask")}
