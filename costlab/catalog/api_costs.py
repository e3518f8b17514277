"""What a workload costs at an API: by the token, or by the image."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog.api_prices import ApiPrice, api_price
from costlab.catalog.price_snapshot import ApiSnapshot
from costlab.catalog.prices import KINDS, parse_day
from costlab.errors import InvalidValueError, PriceNotFoundError, UnknownNameError
from costlab.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrice:
    """What an API asks for an image.

    Attributes
    ----------
    model, provider, quality : str
        What is made, and by whom.
    usd_per_image : float
        USD per image of 1024 x 1024 points.
    checked : datetime.date
        The day for which the source gives the price, or the number of tokens that an image takes.
    kind, source_url, note : str
        As in :class:`GpuPrice`.
    snapshot : ApiSnapshot or None
        Where the price of a token was read, for models that bill an image by its tokens.
    """

    model: str
    provider: str
    quality: str
    usd_per_image: float
    checked: date
    kind: str
    source_url: str
    note: str = ""
    snapshot: ApiSnapshot | None = None

    def __post_init__(self) -> None:
        checks.positive("usd_per_image", self.usd_per_image)
        checks.one_of("kind", self.kind, KINDS)
        if not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", "the address of a price list", self.source_url)


@cache
def _image_rows() -> tuple[dict[str, Any], ...]:
    return shipped_rows("costlab.catalog", "image_prices.toml", "image")


def image_price(
    model: str, quality: str | None = None, as_of: date | str | None = None, provider: str | None = None
) -> ImagePrice:
    """What an API asks for one image of 1024 x 1024 points.

    Parameters
    ----------
    model : str
        Name of the image model: ``dall-e-3``, ``gpt-image-1``.
    quality : str, optional
        Needed where the model makes images at several: ``low``, ``medium``, ``high``.
    as_of : datetime.date or ISO date string, optional
        The day of the token price, for models that bill an image by its tokens; see :func:`api_price`. A price per
        image is refused for a day before it was checked.
    provider : str, optional
        Refuse another provider than this one.

    Raises
    ------
    UnknownNameError
        If no such model, or no such quality of it, is known.
    PriceNotFoundError
        If the model comes in several qualities and none was named, or there is no price for the provider or the day.

    Examples
    --------
    What does an image of medium quality cost, whose 1,056 tokens are billed at 40 dollars a million?

    >>> round(image_price("gpt-image-1", "medium").usd_per_image, 5)
    0.04224
    """
    rows = [row for row in _image_rows() if row["model"] == model]
    if not rows:
        raise UnknownNameError("image model", model, tuple(row["model"] for row in _image_rows()))
    qualities = tuple(row["quality"] for row in rows)
    if quality is None and len(rows) > 1:
        raise PriceNotFoundError(f"{model!r} has {len(rows)} prices by quality: {', '.join(qualities)}; name one")
    chosen = rows[0] if quality is None else rows[qualities.index(checks.one_of("quality", quality, qualities))]
    if provider not in (None, chosen["provider"]):
        raise PriceNotFoundError(f"no price of {model!r} at {provider!r}; there is one at {chosen['provider']}")
    fields = {key: value for key, value in chosen.items() if key != "tokens_per_image"}
    day = parse_day("as_of", as_of)
    if "usd_per_image" in chosen and day is not None and day < chosen["checked"]:
        raise PriceNotFoundError(f"no price of {model!r} for {day}; the oldest is of {chosen['checked']}")
    if "tokens_per_image" in chosen:
        price, tokens = api_price(model, chosen["provider"], as_of), chosen["tokens_per_image"]
        fields |= {"usd_per_image": price.usd(0, tokens, image_output_tokens=tokens), "snapshot": price.snapshot}
    return ImagePrice(**fields)


@dataclass(frozen=True, slots=True)
class ApiCost:
    """The bill of a workload at an API, term by term.

    Attributes
    ----------
    usd_per_request, usd_per_month : float
        Of a mean request, and of the workload's month.
    input_usd, cached_input_usd, output_usd, images_usd, request_usd : float
        The parts of `usd_per_request`: fresh input of all kinds, what was read from the prompt cache, output of all
        kinds, images, and what the API asks for a request beside its tokens.
    requests_per_month : float
        Requests billed.
    price : ApiPrice or ImagePrice
        The rates, with their date and source.
    cache_write_usd, searches_usd : float
        Further parts: what was written to the prompt cache, and searches.
    """

    usd_per_request: float
    usd_per_month: float
    input_usd: float
    cached_input_usd: float
    output_usd: float
    images_usd: float
    request_usd: float
    requests_per_month: float
    price: ApiPrice | ImagePrice
    cache_write_usd: float = 0.0
    searches_usd: float = 0.0


def api_cost(
    workload: Workload,
    model: str | ApiPrice | ImagePrice,
    provider: str | None = None,
    as_of: date | str | None = None,
    quality: str | None = None,
    service_tier: str = "standard",
    discount_fraction: float = 0.0,
) -> ApiCost:
    """What a workload costs at an API.

    Parameters
    ----------
    workload : Workload
        The traffic. A workload that makes images is billed by the image, and must have no tokens beside them: models
        with a price per image ask nothing for the prompt.
    model : str or ApiPrice or ImagePrice
        A model's name, or its price as :func:`api_price` or :func:`image_price` gives it.
    provider, as_of, quality, service_tier
        As for :func:`api_price` and :func:`image_price`.
    discount_fraction : float
        A negotiated share off the price, in 0..1.

    Raises
    ------
    InvalidValueError
        If a workload with images meets a price for tokens, or the reverse; if it has both; or if it has output tokens
        and the model has no price for them.
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        As :func:`api_price`.

    Notes
    -----
    A mean request is priced. Where prices rise with the length of the request (`tiers`), that understates the bill of a
    workload whose mean is below a threshold that single requests exceed.

    Examples
    --------
    What do 50,000 chats a day of 400 tokens in and 200 out cost a month of 30 days?

    >>> from costlab.workload import Workload
    >>> chat = Workload(50_000, input_tokens=400, output_tokens=200, days_per_month=30)
    >>> round(api_cost(chat, "gpt-4o").usd_per_month, 2)
    4500.0
    """
    if isinstance(model, str):
        by_image = any(row["model"] == model and "usd_per_image" in row for row in _image_rows())
        if by_image and not workload.images:
            raise InvalidValueError("workload", f"one that makes images, as {model} is priced by the image", workload)
        if workload.images:
            model = image_price(model, quality, as_of, provider)
        else:
            model = api_price(model, provider, as_of, service_tier)
    requests = workload.requests_per_month
    left = 1.0 - checks.fraction("discount_fraction", discount_fraction)
    if isinstance(model, ImagePrice):
        if not workload.images or workload.input_tokens or workload.output_tokens:
            raise InvalidValueError("workload", "one of images alone, as the price is per image", workload)
        usd = workload.images * model.usd_per_image * left
        return ApiCost(usd, usd * requests, 0.0, 0.0, 0.0, usd, 0.0, requests, model)
    if workload.images:
        raise InvalidValueError("workload", f"one without images, as {model.model} is priced by the token", workload)
    model = model.discounted(discount_fraction)
    parts = {name: getattr(workload, name) for name in _PARTS if getattr(workload, name)}
    tokens_in, tokens_out, cached = workload.input_tokens, workload.output_tokens, workload.cached_input_tokens
    total = model.usd(tokens_in, tokens_out, cached, **parts)
    written, written_1h = workload.cache_write_tokens, workload.cache_write_1h_tokens

    def rate(kind: str) -> float:
        return model.usd_per_token(kind, tokens_in)

    cached_usd, searches_usd = cached * rate("cached_input"), workload.searches * (model.usd_per_search or 0.0)
    written_usd = (written - written_1h) * rate("cache_write") + written_1h * rate("cache_write_1h")
    output_usd = tokens_out * rate("output")
    for kind, count in (("reasoning", workload.reasoning_tokens), ("audio_output", workload.audio_output_tokens)):
        output_usd += count * (rate(kind) - rate("output")) if count else 0.0
    fresh_usd = (tokens_in - cached - written) * rate("input")
    fresh_usd += workload.audio_input_tokens * (rate("audio_input") - rate("input"))
    return ApiCost(
        usd_per_request=total,
        usd_per_month=total * requests,
        input_usd=fresh_usd,
        cached_input_usd=cached_usd,
        output_usd=output_usd,
        images_usd=0.0,
        request_usd=model.usd_per_request,
        requests_per_month=requests,
        price=model,
        cache_write_usd=written_usd,
        searches_usd=searches_usd,
    )


#: What a workload may have of a request's parts.
_PARTS: Final = (
    "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "reasoning_tokens", "audio_output_tokens",
    "searches",
)  # fmt: skip
