"""What can be triggered from the Prefect UI: the pipeline behind a form."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from flows.retrain import retrain
from genrec.config_load import load_config

CONF = Path(__file__).parents[1] / "conf"
StageName = Literal["ingest", "prepare", "embed", "sid", "base", "sft", "rl", "evaluate"]


@flow(name="train", flow_run_name="{preset}", persist_result=False)
def train(
    preset: Annotated[
        Literal["demo", "table", "amazon2023"], Field(description="The YAML file in conf/ to start from.")
    ] = "demo",
    data_path: Annotated[
        str | None, Field(description="Folder with your data; the demo's synthetic shop needs none.")
    ] = None,
    seed: Annotated[int, Field(ge=0, description="Seed of training.")] = 0,
    overrides: Annotated[
        list[str] | None, Field(description="Further settings, as section.setting=value (conf/README.md lists all).")
    ] = None,
    refresh: Annotated[list[StageName] | None, Field(description="Stages to recompute even when cached.")] = None,
    until: Annotated[StageName | None, Field(description="Stop after this stage.")] = None,
) -> dict[str, Any]:
    """Train and evaluate a recommender; stages whose inputs and settings did not change come from the store."""
    extra = [f"seed={seed}", *(overrides or [])]
    if data_path:
        extra.append(f"data.path={data_path}")
    config = load_config([CONF / f"{preset}.yaml"], extra)
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.name}"
    return retrain(config=config.model_dump(mode="json"), run_id=run_id, refresh=list(refresh or []), until=until)
