"""Settings of re-ranking: the steps after the ranker, in order."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from genrec.config.section import Chosen, _options, _rewards_from_names

_SORTING = ("fusion", "ddpg")  # they sort by scores, whatever the order was


class RerankConfig(Chosen):
    """One step of re-ranking."""

    name: str = Field(description="Re-ranker: a module of genrec/rank/rerank.")
    options: dict[str, Any] = _options()

    variant_package: ClassVar[str] = "genrec.rank.rerank"
    variant_field: ClassVar[str] = "name"


def _sorting_comes_first(steps: list[RerankConfig]) -> list[RerankConfig]:
    for place, step in enumerate(steps):
        if step.name in _SORTING and (moved := [s.name for s in steps[:place] if s.name not in _SORTING]):
            raise ValueError(f"{step.name} sorts by scores and would undo {', '.join(moved)}: put it before them")
    return steps


RerankSteps = Annotated[
    list[RerankConfig], BeforeValidator(_rewards_from_names), AfterValidator(_sorting_comes_first)
]  # the type of `rank.rerank`; a name is short for a step with its default options
