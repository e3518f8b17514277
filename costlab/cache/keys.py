"""The key of a request: everything that changes the answer, in one canonical form, hashed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import isfinite
from typing import Any, Final, TypeAlias
from unicodedata import normalize

import msgpack

from costlab.errors import InvalidValueError

#: Enters every key. It changes with the canonical form, so that what an older costlab stored is missed, never mixed up.
KEY_VERSION: Final = 1

#: Parameters that say how an answer travels or is filed, and leave the answer as it is; they enter no key.
#: Every other parameter does, known to costlab or not.
IGNORED_PARAMETERS: Final = frozenset(
    {
        "extra_headers", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier",
        "store", "stream", "stream_options", "timeout", "user",
    }
)  # fmt: skip

#: Below it every whole number is exact as a float; above, 2.0**53 could stand for two whole numbers.
_EXACT_BELOW: Final = 2.0**53
_pack = msgpack.packb

Plain: TypeAlias = "str | float | list[Plain] | dict[str, Plain] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a model: all that changes the answer, and for whom.

    Attributes
    ----------
    model : str
        The model's name, with its version if it has one: behind an alias that moves, old answers look current.
    messages : str or sequence of mapping
        The conversation, oldest first, each message as chat APIs take it (``role``, ``content``, ...). A string is
        short for one user message.
    parameters : mapping of str to object
        Everything else that changes the answer: ``temperature``, ``seed``, ``max_tokens``, ``tools``,
        ``response_format``. Those in ``IGNORED_PARAMETERS`` do not count.
    namespace, version : str
        The tenant: requests of two namespaces never share an answer. What else the answer depends on, as the edition of
        the prompt or the date of the documents: change the version, and every older answer is a miss.

    Examples
    --------
    Do two ways of writing the same request share a key? And with another seed?

    >>> one = Request(model="small", messages="Where are my files?", parameters={"seed": 1, "temperature": 0})
    >>> two = Request(
    ...     model="small",
    ...     messages=[{"content": "Where are my files?", "role": "user"}],
    ...     parameters={"temperature": 0.0, "seed": 1, "stream": True},
    ... )
    >>> request_key(one) == request_key(two), request_key(one) == request_key(replace(two, parameters={"seed": 2}))
    (True, False)
    """

    model: str
    messages: str | Sequence[Mapping[str, object]]
    parameters: Mapping[str, object] = field(default_factory=dict)
    namespace: str = ""
    version: str = ""

    def within(self, namespace: str) -> Request:
        """The same request inside an outer `namespace`: that application's tenant, not another's of the same name."""
        return replace(self, namespace=json.dumps([namespace, self.namespace]))

    @property
    def text(self) -> str:
        """What the last message says, if it is the user's and nothing but text; otherwise the empty string."""
        if isinstance(self.messages, str):
            return self.messages
        last = self.messages[-1] if self.messages else {}
        content = last.get("content") if last.get("role") == "user" else None
        return content if isinstance(content, str) else ""

    @property
    def scope(self) -> str:
        """Digest of all but :attr:`text`. Requests that mean the same share an answer only within one scope."""
        text = self.text
        if text:
            messages: list[Mapping[str, object]] = [{"role": "user"}]
            if not isinstance(self.messages, str):
                messages = [*self.messages]
            messages[-1] = {name: value for name, value in messages[-1].items() if name != "content"}
            return request_key(replace(self, messages=messages), "scope")
        return request_key(self, "scope of a request without text")


def request_key(request: Request, namespace: str = "") -> str:
    """The key of a request: the SHA-256 of its canonical form, in 64 hexadecimal digits.

    No key contains the query itself, so neither keys nor a listing of them tell what was asked, and no text, however
    long or strange, makes a key that a store refuses. Parameters and errors are those of :func:`canonical`.
    """
    return sha256(canonical(request, namespace)).hexdigest()


def canonical(request: Request, namespace: str = "") -> bytes:
    """One sequence of bytes for all ways to write the same request: MessagePack, with everything in a fixed order.

    Its parts are ``[KEY_VERSION, namespace, request.namespace, model, version, messages, parameters]``. `namespace` is
    the application's part of a shared store; the request's own namespace is a part of that part.

    Raises
    ------
    InvalidValueError
        If the request holds what JSON cannot: bytes, NaN, objects, keys that are not text.

    Notes
    -----
    Equal, because no model could answer them differently: mappings whose names come in another order; tuples and
    lists; ``1`` and ``1.0``, ``0.0`` and ``-0.0``; texts that Unicode calls canonically equivalent (é as one code
    point or as e with an accent: NFC). Different, although often meant alike: ``True`` and ``1``, a parameter left
    out and the same one at its default, upper and lower case, blanks, and what only NFKC would unite (``x²`` and
    ``x2``), since a model answers these differently. Finding what is meant alike is the semantic layer's work.

    Every text is there with its length, so that no two different requests run into the same bytes. JSON would do
    as well; MessagePack takes half the time.

    Examples
    --------
    What enters the key of a short request?

    >>> request = Request(model="small", messages="Hi", parameters={"top_p": 1.0}, version="2")
    >>> msgpack.unpackb(canonical(request, "desk"))
    [1, 'desk', '', 'small', '2', [{'content': 'Hi', 'role': 'user'}], {'top_p': 1}]
    """
    model, tenant, version, messages = request.model, request.namespace, request.version, request.messages
    if not (type(namespace) is type(tenant) is type(model) is type(version) is str):
        raise InvalidValueError("model, namespace and version", "texts", (model, tenant, version, namespace))
    if isinstance(messages, str):
        plain = [{"content": _plain("messages", messages), "role": "user"}]
    else:
        plain = [_plain_message(message) for message in messages]
    if not plain:
        raise InvalidValueError("messages", "a text or at least one message", messages)
    parameters = _plain_mapping("parameters", request.parameters, 0, IGNORED_PARAMETERS)
    # Names are compared as they are: the same tenant in two notations is two tenants, which leaks nothing.
    everything = [KEY_VERSION, namespace, tenant, model, version, plain, parameters]
    try:
        packed: bytes = _pack(everything, unicode_errors="surrogatepass")
    except OverflowError:
        raise InvalidValueError("parameters", "free of whole numbers beyond 64 bits", request.parameters) from None
    return packed


def as_request(request: Request | Mapping[str, Any], namespace: str = "", version: str = "") -> Request:
    """`request` itself, or the one that a chat API's payload describes.

    Parameters
    ----------
    request : Request or mapping
        A payload has ``model`` and ``messages``; all else in it is a parameter. So are a ``namespace`` and a
        ``version``: a payload comes from a client, who must not choose whose answers it is given.
    namespace, version : str
        The tenant, and what else the answer depends on; see :class:`Request`, which has its own.

    Raises
    ------
    InvalidValueError
        If it is neither, or a :class:`Request` of another namespace or version than those given.

    Examples
    --------
    >>> request = as_request({"model": "small", "messages": "Hi", "temperature": 0, "namespace": "zeta"}, "acme")
    >>> request.namespace, request.parameters
    ('acme', {'temperature': 0, 'namespace': 'zeta'})
    """
    if isinstance(request, Request):
        if namespace not in ("", request.namespace) or version not in ("", request.version):
            own = (request.namespace, request.version)
            raise InvalidValueError("namespace and version", f"those of the Request, {own}", (namespace, version))
        return request
    if not isinstance(request, Mapping) or not {"model", "messages"} <= request.keys():
        raise InvalidValueError("request", "a Request or a mapping with model and messages", request)
    parameters = {name: value for name, value in request.items() if name not in ("model", "messages")}
    model, messages = request["model"], request["messages"]
    return Request(model=model, messages=messages, parameters=parameters, namespace=namespace, version=version)


def is_sampled(request: Request) -> bool:
    """Whether the request asks for a random answer: a temperature above 0, and no seed to repeat it by.

    A request without a temperature counts as not sampled, although most APIs then sample: what its model does is
    known to the caller only, who says so by giving the temperature.
    """
    temperature = request.parameters.get("temperature")
    sampled = isinstance(temperature, int | float) and temperature > 0
    return sampled and request.parameters.get("seed") is None


def _plain_message(message: Mapping[str, object]) -> dict[str, Plain]:
    """A message made of what MessagePack knows; a shorter way for those that consist of a role and a text."""
    if type(message) is dict and len(message) == 2:
        role, content = message.get("role"), message.get("content")
        if type(role) is type(content) is str:
            if not content.isascii():
                content = normalize("NFC", content)
            return {"content": content, "role": role}
    if not isinstance(message, Mapping):
        raise InvalidValueError("messages", "a text or mappings with role and content", message)
    return _plain_mapping("messages", message, 0)


def _plain(where: str, value: object, depth: int = 0) -> Plain:
    """`value` made of what MessagePack knows: texts normalised, names sorted, whole floats as whole numbers."""
    if isinstance(value, str):
        return value if value.isascii() else normalize("NFC", value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise InvalidValueError(where, "free of NaN and infinities", value)
        return int(value) if value.is_integer() and abs(value) < _EXACT_BELOW else float(value)
    if depth > 64:
        raise InvalidValueError(where, "nested at most 64 deep, without cycles", "something deeper")
    if isinstance(value, Mapping):
        return _plain_mapping(where, value, depth + 1)
    if isinstance(value, list | tuple):
        return [_plain(where, item, depth + 1) for item in value]
    raise InvalidValueError(where, "made of texts, numbers, lists and mappings", value)


def _plain_mapping(
    where: str, mapping: Mapping[str, object], depth: int, ignored: frozenset[str] = frozenset()
) -> dict[str, Plain]:
    """A mapping with its names in order. The name 1 is not the name "1", although JSON would write both alike."""
    for name in mapping:
        if not isinstance(name, str):
            raise InvalidValueError(f"a name in {where}", "a text", name)
    return {name: _plain(where, mapping[name], depth) for name in sorted(mapping) if name not in ignored}
