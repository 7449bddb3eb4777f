"""Settings of the base model."""

from pydantic import Field

from genrec.config.section import Section
from genrec.paths import PathText


class ScratchConfig(Section):
    """A small Qwen2-architecture model with random weights and a byte-level BPE of the catalogue."""

    vocab_size: int = Field(2000, ge=300, le=200_000, description="Size of the byte-level BPE vocabulary.")
    hidden_size: int = Field(128, ge=8, le=8192, description="Width of the model.")
    num_layers: int = Field(2, ge=1, le=96, description="Transformer blocks.")
    num_heads: int = Field(4, ge=1, le=128, description="Attention heads.")
    num_kv_heads: int = Field(2, ge=1, le=128, description="Key/value heads (grouped-query attention).")
    intermediate_size: int = Field(256, ge=8, le=65536, description="Width of the MLP.")
    text_epochs: int = Field(0, ge=0, le=1000, description="Epochs of language modelling on the catalogue's text.")


class BaseConfig(Section):
    """The language model to start from."""

    model: PathText = Field("scratch", description="`scratch`, a local folder, or a hub id such as Qwen/Qwen2.5-3B.")
    revision: str | None = Field(None, description="Commit or tag of a hub model: pins what the key stands for.")
    scratch: ScratchConfig = Field(default_factory=ScratchConfig, description="The model built when model is scratch.")
