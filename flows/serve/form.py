"""A form of the Prefect UI: a flow, the JSON schema of its fields, and the same check once more when the run starts.

The server checks what it is given by the schema, but not what is saved with a schedule, nor what a client asks it not to
check. So the run checks again before it does anything, and answers in one line that repeats no value: it may be a secret.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema.exceptions import ValidationError as Problem
from prefect import Flow
from prefect.utilities.callables import ParameterSchema, parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic.fields import FieldInfo

from flows.interrupts import cancelled_when_stopped
from flows.serve.one_line import log_errors_in_one_line
from genrec.errors import ConfigError
from genrec.redact import redact, without_secrets
from tasks.run import STAGES

CHOOSE = "choose"  # the default in Python of a field that has none in the form
DATA = "data"
# Fields that forms had before, which schedules may still hold, and what took their place. A form's function has them as
# parameters that are None: Prefect calls it with all that is saved, or not at all.
GONE = {
    "preset": "preset is gone: write data (what is read) and size (quick or full) instead",
    "data_source": "data_source is gone: data says what is read",
}


class FormSchema(ParameterSchema):
    """Prefect's schema of a flow's parameters, and what it leaves out: no other fields, and fields that contradict."""

    propertyNames: dict[str, Any]  # before the next one: its words are better where both refuse
    additionalProperties: bool = False
    allOf: list[dict[str, Any]]


class Form(Flow):
    """A flow with a form. What it is given is checked by the form's schema before the run starts to work."""

    gone: Mapping[str, str] = GONE

    @functools.cached_property
    def schema(self) -> FormSchema:
        """The JSON schema of the form's fields, as the server gets it."""
        return form_schema(self.fn, self.gone)

    def checked(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters, with the types of the function. Raises ConfigError, in one line, that names fields and what is meant."""
        required = self.schema.required or []
        given = {
            name: value
            for name, value in parameters.items()
            if not (name in required and value == CHOOSE) and not (name in self.gone and value is None)
        }
        problems = validate(given, self.schema.model_dump())
        if problems:
            first = {str(p.absolute_path): _in_words(p) for p in reversed(problems)}  # of each field, or of their names
            raise ConfigError(f"{self.name}: {'; '.join(first.values())}")
        return self.validate_parameters(parameters)


def form(
    name: str, flow_run_name: str | None = None, gone: Mapping[str, str] = GONE
) -> Callable[[Callable[..., Any]], Form]:
    """A form of a function whose parameters are types of flows/serve/forms.py. gone: fields it had, and what to do now.

    Prefect takes descriptions from an `Args:` section of the docstring, and not from `Annotated`: so make one of them.
    """

    log_errors_in_one_line()

    def decorate(function: Callable[..., Any]) -> Form:
        what = inspect.getdoc(function) or ""
        lines = [f"    {field}: {text}" for field, text in _descriptions(function).items()]
        function.__doc__ = "\n".join([what, "", "Args:", *lines])

        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            # Here and not where Prefect checks: that error is not in the run's log, and repeats what was given.
            given = inspect.signature(function).bind(*arguments, **named).arguments
            return function(**made.checked(dict(given)))

        made = Form(
            cancelled_when_stopped(without_secrets()(run)),
            name=name,
            flow_run_name=flow_run_name,
            description=what,
            persist_result=False,
            validate_parameters=False,
        )
        made.gone = gone
        return made

    return decorate


def form_schema(function: Callable[..., Any], gone: Mapping[str, str]) -> FormSchema:
    """The schema of a form. A field whose default is CHOOSE has none, and has to be filled in."""
    made = parameter_schema(function)
    fields = {name: dict(field) for name, field in made.properties.items() if name not in gone}
    required = [name for name, field in fields.items() if field.get("default") == CHOOSE]
    for name in required:
        del fields[name]["default"]
    return FormSchema(
        title="Parameters",
        type="object",
        properties=fields,
        required=required,
        definitions=made.definitions,
        propertyNames={"allOf": [{}, *({"if": {"const": old}, "then": {"const": new}} for old, new in gone.items())]},
        allOf=[{}, *_contradictions(fields, required)],  # JSON schemas have no empty list
        additionalProperties=False,
    )


def _contradictions(fields: Mapping[str, Any], required: list[str]) -> Iterator[dict[str, Any]]:
    """Fields that may be right one by one and contradict each other.

    Prefect leaves `required` out of what it checks when a deployment is changed, at every depth: so no condition uses it.
    """
    if "data_path" in fields:
        # A default counts where the field is not given, unless data_path is all that is given: it may be checked alone.
        known = _is_given(DATA) if DATA in required else {"minProperties": 2}
        empty = "empty, because data is demo, which makes its own; choose other data to read a folder"
        yield {
            "if": {"allOf": [{"properties": {DATA: {"const": "demo"}}}, known]},
            "then": {"properties": {"data_path": {"if": {"maxLength": 0}, "else": {"const": empty}}}},
        }
    if {"run", "name"} <= fields.keys():
        unused = "empty, because run names the model that is meant"
        yield {
            "if": {"allOf": [{"properties": {"run": {"minLength": 1}}}, _is_given("run")]},
            "then": {"properties": {"name": {"if": {"maxLength": 0}, "else": {"const": unused}}}},
        }
    if {"promote", "until"} <= fields.keys():
        never = "no, because until ends the run before the new model is measured"
        yield {
            "if": {"allOf": [{"properties": {"until": {"not": {"const": STAGES[-1]}}}}, _is_given("until")]},
            "then": {"properties": {"promote": {"if": {"const": "no"}, "else": {"const": never}}}},
        }


def _is_given(field: str) -> dict[str, Any]:
    return {"not": {"propertyNames": {"not": {"const": field}}}}


def _descriptions(function: Callable[..., Any]) -> dict[str, str]:
    found = {}
    for parameter, hint in typing.get_type_hints(function, include_extras=True).items():
        field = next((m for m in typing.get_args(hint) if isinstance(m, FieldInfo)), None)
        if field and field.description:
            found[parameter] = field.description
    return found


def _in_words(problem: Problem) -> str:
    """A problem with its field and what is meant, without what was given."""
    field = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in problem.absolute_path)
    expected = problem.validator_value
    match problem.validator:
        case "const" if not field:
            return str(expected)
        case "const":
            return f"{field}: {expected}"
        case "enum":
            return f"{field}: choose one of {', '.join(map(str, expected))}"
        case "required":
            missing = [name for name in expected if name not in problem.instance]
            return f"{', '.join(missing)}: not chosen; set it in the form, or in the parameters of the schedule"
        case "additionalProperties":
            known = problem.schema["properties"]
            unknown = [redact(str(name)) for name in problem.instance if name not in known]
            return f"there is no field {', '.join(unknown)}; the fields are {', '.join(known)}"
        case "minimum" | "maximum" | "minItems" | "maxItems" | "maxLength":
            return f"{field}: its {problem.validator.lower()} is {expected}"
        case _:
            return f"{field}: is not what is meant ({problem.validator} {redact(str(expected))[:60]})"
