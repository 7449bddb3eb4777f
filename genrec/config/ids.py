"""Settings of embed and sid."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from genrec.config.section import Chosen, Section, _options, knob, later


class EmbedConfig(Chosen):
    """Item text to vectors."""

    method: str = Field("lsa", description="Encoder: a module of genrec/embed/encoders.")
    fields: list[Literal["title", "brand", "categories", "description"]] = Field(
        default=["title", "brand", "categories", "description"],
        min_length=1,
        description="Item fields joined, in this order, into the text that is encoded.",
    )
    options: dict[str, Any] = _options()
    num_shards: int = knob(2, "Ray workers that encode side by side (where the encoder can be sharded).", ge=1, le=1024)
    number_format: Literal["float32", "float16"] = later(
        "float32", "Numbers of the stored vectors: float16 halves the files, and rounds to 11 bits."
    )
    batch_tokens: int = knob(16384, "Padded tokens in one batch of a transformer encoder.", ge=64)

    variant_package: ClassVar[str] = "genrec.embed.encoders"


class FusionConfig(Section):
    """Collaborative signal in semantic ids: text vectors beside an embedding of what is bought together."""

    weight: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of an item's squared distances that co-occurrence makes up; 0 is text alone.",
    )
    dim: int = Field(64, ge=1, le=4096, description="Dimensions of the co-occurrence embedding (PPMI, SVD).")
    window: int = Field(5, ge=1, le=1000, description="Events of a sequence up to this far apart occur together.")
    smoothing: float = Field(
        0.75, gt=0, le=1, description="Exponent of the counts of contexts in PPMI; below 1 it tempers rare items."
    )


class SidConfig(Chosen):
    """Vectors to semantic ids."""

    method: str = Field("rqkmeans", description="Tokenizer: a module of genrec/sid/tokenizers.")
    num_levels: int = Field(3, ge=1, le=8, description="Levels of codes that the tokenizer learns.")
    num_codes: int = Field(256, ge=1, le=32768, description="Codes a level.")
    options: dict[str, Any] = _options()
    fusion: FusionConfig = Field(default_factory=FusionConfig, description="Collaborative signal in the ids.")
    deduplicate: Literal["reassign", "extra_token"] = Field(
        "reassign",
        description="How ids become unique. reassign: items that collide move to free codes of the last level at "
        "minimum cost. extra_token: one more level counts the items that share an id.",
    )
    refit: bool = Field(
        True,
        description="Fit a second time, with another seed and nine tenths of the items: tells how many ids a retraining "
        "changes and what error to expect of new items. Takes as long again; changes no id.",
    )

    @property
    def total_levels(self) -> int:
        """Tokens of a semantic id."""
        return self.num_levels + (self.deduplicate == "extra_token")

    variant_package: ClassVar[str] = "genrec.sid.tokenizers"
