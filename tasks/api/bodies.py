"""What the body of a request may hold. Unknown fields and other types are refused, with a message that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from genrec.event_log.event import MAX_ID_CHARS, BadEvent, check_id
from tasks.api.errors import ApiError

# Neither database keeps a NUL character in a text; ids hold none.
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS, pattern=r"^[^\x00]*$")]  # of an item or a user
Text = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]
_Body = TypeVar("_Body", bound="Body")


def _as_in_events(item_id: str) -> str:
    """Raises ValueError for an id that no event could name."""
    try:
        check_id("item_id", item_id)
    except BadEvent as error:
        raise ValueError(error.problem) from None
    return item_id


class Body(BaseModel):
    """A body of a request: JSON, types as they are."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class AllowBody(Body):
    """What may be recommended; with both, items that are in both."""

    items: list[str] | None = Field(None, description="Item ids.")
    categories: list[str] | None = Field(None, description="Categories; an item has to be in one of them.")


class RecommendBody(Body):
    """A history, or the id of a user whose history is known."""

    history: list[str] | None = Field(
        None,
        description="Item ids, oldest first. Unknown ids are skipped and named in the answer.",
        examples=[["item-1"]],
    )
    user_id: Id | None = Field(
        None,
        description="Whose history to take, newest events included, where none is given here; also decides which model "
        "an experiment shows.",
    )
    k: int = Field(10, ge=1, description="How many recommendations.")
    exclude: list[str] = Field([], description="Item ids that are not to be recommended.")
    allow: AllowBody | None = Field(None, description="Recommend only these.")
    keep_seen: bool = Field(False, description="Whether items of the history may be recommended.")
    model: Name = Field(
        "service", description="service: the one in service; beside: the one that was started beside it."
    )


class EventBody(Body):
    """A click, a purchase, or another event of the shop; `genrec.event_log.Event` says what its texts may hold."""

    user_id: str
    item_id: str
    event: str = Field(description="click, purchase or another word of small letters.", examples=["click"])
    timestamp: int | None = Field(
        None, description="Milliseconds since 1970 by the client's clock; the time of arrival where there is none."
    )
    event_id: str | None = Field(None, description="An id of the client's: an event that is sent twice counts once.")
    request_id: str | None = Field(None, description="Of the recommendation that it answers.")


class EventsBody(Body):
    """Events, in the order they happened."""

    events: list[EventBody] = Field(min_length=1)


class NewItemBody(Body):
    """An item that the model has not been trained on; its semantic id comes from its text."""

    item_id: Annotated[Id, AfterValidator(_as_in_events)]
    title: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]
    description: Text = ""
    brand: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    categories: list[Name] = Field([], description="General to specific.")
    vector: list[float] | None = Field(
        None, min_length=1, max_length=16_384, description="Of its text, where vectors are computed outside of genrec."
    )


class CatalogueBody(Body):
    """Changes of the catalogue; all of them take effect at once, or none."""

    stock: dict[Id, bool] = Field({}, description="Item id -> whether it is in stock.")
    items: list[NewItemBody] = Field([], description="New items.")

    @model_validator(mode="after")
    def _holds_a_change(self) -> CatalogueBody:
        if not (self.stock or self.items):
            raise ValueError("stock or items: one of them is needed")
        return self


def parsed(model: type[_Body], body: bytes) -> _Body:
    """The body, checked. Raises ApiError 400 for what is no JSON and 422 for what it must not hold."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        raise ApiError(400, "not_json", f"the body is no JSON: {problems[0]['ctx']['error']}")
    shown = "; ".join(_in_words(model, problem) for problem in problems[:5])
    more = f"; {len(problems) - 5} more" if len(problems) > 5 else ""
    raise ApiError(422, "invalid", shown + more)


def _in_words(model: type[BaseModel], problem: Any) -> str:
    """Which field, what is wrong with it, and for an unknown one what was meant."""
    place = [str(part)[:64] for part in problem["loc"]]
    where = ".".join(place) or "body"
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg']}"
    known = list(_at(model, place[:-1]).model_fields)
    near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
    return f"{where}: unknown field; " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}")


_INNER: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (RecommendBody, "allow"): AllowBody,
    (EventsBody, "events"): EventBody,
    (CatalogueBody, "items"): NewItemBody,
}


def _at(model: type[BaseModel], place: list[str]) -> type[BaseModel]:
    """The model of the part of a body at a place."""
    return _INNER.get((model, place[0]), model) if place else model


def in_words(problems: Sequence[Any]) -> str:
    """Problems as pydantic lists them, of a query string."""
    return "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in problems[:5])


def within(name: str, number: int, most: int, setting: str) -> None:
    """Raises ApiError 422 for more than a setting of section api allows; setting "" is the number of items."""
    if number > most:
        limit = f"api.{setting}" if setting else "the number of items"
        raise ApiError(422, "invalid", f"{name}: {number:,} is more than {most:,} ({limit})")
