"""The application that the commands join, and the options that they share."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genrec.redact import redact


class _Commands(TyperGroup):
    """Commands whose usage errors do not repeat a secret that was typed in the wrong place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            error.message = redact(error.message)
            raise


# Help is markup of Rich: a bracket that is to be seen is written \[.
app = typer.Typer(
    cls=_Commands,
    help="genrec: from raw reviews to a generative recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="a.b=c", help="Override one setting; may be repeated. conf/README.md lists all."
    ),
]
Store = Annotated[
    str | None, typer.Option("--store", help=r"Folder or URL (s3://...) of artifacts and reports \[default: .genrec].")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the logs of Prefect and Ray.")]
