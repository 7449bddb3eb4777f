"""What a section of the config is: refused typos, slices for cache keys, variants chosen by name."""

import contextlib
import contextvars
import dataclasses
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from genrec import variants
from genrec.paths import PathText


def knob(default: Any, description: str, **bounds: Any) -> Any:
    """A field that changes speed or place, never the result: it stays out of cache keys."""
    return Field(default, description=description, json_schema_extra={"knob": True}, **bounds)


def later(default: Any, description: str, **bounds: Any) -> Any:
    """A field that came after results had been stored without it: its default is what was done then, and stays out of
    cache keys.
    """
    return Field(default, description=description, json_schema_extra={"later": True}, **bounds)


class Section(BaseModel):
    """A group of settings. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def key_slice(self) -> dict[str, Any]:
        """The settings that decide the result, as plain JSON data (knobs and what is `later` left out, at every depth)."""
        slice_: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            traits = extra if isinstance(extra, dict) else {}
            if traits.get("knob") or (traits.get("later") and getattr(self, name) == field.default):
                continue
            slice_[name] = _plain(getattr(self, name))
        return slice_


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.key_slice()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def options_model(package: str, name: str) -> type[BaseModel]:
    """A pydantic model with the fields of a variant's `Config` dataclass: validation for plain dataclasses."""

    config_class = variants.load(package, name).Config
    hints = typing.get_type_hints(config_class)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        if field.default is not dataclasses.MISSING:
            default: dict[str, Any] = {"default": field.default}
        elif field.default_factory is not dataclasses.MISSING:
            default = {"default_factory": field.default_factory}
        else:
            default = {}
        fields[field.name] = (
            PathText if field.metadata.get("is_path") else hints[field.name],
            Field(
                description=field.metadata.get("doc", ""),
                json_schema_extra={"later": bool(field.metadata.get("later"))},
                **default,
                **field.metadata.get("bounds", {}),
            ),
        )
    return create_model(f"{name}.options", __config__=ConfigDict(extra="forbid"), **fields)


Depth = Literal["names", "written", "all"]
_depth: contextvars.ContextVar[Depth] = contextvars.ContextVar("depth", default="all")


@contextlib.contextmanager
def checked_to(depth: Depth) -> Iterator[None]:
    """How far the choice of variants is checked meanwhile; importing a variant may take seconds (torch).

    names: that there is a module of the name; nothing is imported. written: also the options of those that have some
    written down, which imports these variants. all: also the defaults of the others are filled in.
    """
    token = _depth.set(depth)
    try:
        yield
    finally:
        _depth.reset(token)


def depth() -> Depth:
    """How far a validation that is under way checks the choice of variants (`checked_to`)."""
    return _depth.get()


class Chosen(Section):
    """A section that chooses a variant by name and carries that variant's options, validated, as a rule completed."""

    variant_package: ClassVar[str]  # where the variants are
    variant_field: ClassVar[str] = "method"  # the setting that names one
    fills_defaults: ClassVar[bool] = True  # of the options; False where it matters which ones were written
    if TYPE_CHECKING:
        options: dict[str, Any]

    @model_validator(mode="after")
    def _complete_options(self) -> "Chosen":
        package, name = self.variant_package, getattr(self, self.variant_field)
        how_far = depth()
        if name not in variants.names(package):
            raise UnknownName(self.variant_field, name, variants.names(package))
        if how_far == "names" or (how_far == "written" and not self.options):
            return self
        try:
            checked = options_model(package, name).model_validate(self.options)
            options = checked.model_dump(exclude_unset=not self.fills_defaults)
        except ValidationError as error:
            raise OptionsError(error) from None
        object.__setattr__(self, "options", options)
        return self

    def key_slice(self) -> dict[str, Any]:
        """As of any section; options that are `later` and at their default are left out."""
        fields = options_model(self.variant_package, getattr(self, self.variant_field)).model_fields
        options = {
            name: value
            for name, value in self.options.items()
            if not (_is_later(fields[name]) and value == fields[name].default)
        }
        return {**super().key_slice(), "options": _plain(options)}


def _is_later(field: Any) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("later"))


class OptionsError(ValueError):
    """The options of a variant are wrong; `problems` says where."""

    def __init__(self, problems: ValidationError) -> None:
        self.problems = problems
        super().__init__(str(problems))


class UnknownName(ValueError):
    """A variant name that no module has."""

    def __init__(self, field: str, name: str, known: tuple[str, ...]) -> None:
        self.field, self.name, self.known = field, name, known
        super().__init__(f"{field}: there is no {name!r}; known: {', '.join(known)}")


Sharding = Literal["none", "optimizer", "gradients", "weights"]


def sharding_choice(processes: str) -> Any:
    """The field `sharding` of a stage whose setting `processes` says how many train."""
    return knob(
        "none",
        f"What the processes of {processes} divide between them, by PyTorch's FSDP2. optimizer: the optimizer's states. "
        "gradients: also the gradients. weights: also the weights, frozen ones too.",
    )


def check_sharding(stage: str, kind: Sharding, processes: str, number: int) -> None:
    """Raises ValueError where there is nobody to divide with."""
    if kind != "none" and number < 2:
        raise ValueError(
            f"sharding is {kind}, but {stage}.{processes} is {number}: nothing can be divided; set {stage}.{processes} to "
            f"the number of GPUs, or {stage}.sharding to none"
        )


def _options() -> Any:
    return Field(default_factory=dict, description="Settings of the chosen variant (see its own table).")


def _named(value: Any) -> Any:
    """`focal` is short for `{name: focal}`."""
    return {"name": value} if isinstance(value, str) else value


def _rewards_from_names(value: Any) -> Any:
    """`[exact_hit, rank_penalty]` is short for a list of tables with a name each."""
    return [{"name": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value
