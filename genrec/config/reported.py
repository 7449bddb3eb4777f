"""What the authors of a recipe report of it: no setting of a run, but what a comparison shows beside its figures."""

from genrec.config.section import Section, knob


class ReportedConfig(Section):
    """Figures that others report of this recipe, as relative gains in HR@10; a comparison shows them beside its own."""

    rl_over_sft: float | None = knob(None, "Of reinforcement learning over the fine-tuned model it starts from.")
    sft_over_itemcf: float | None = knob(None, "Of the fine-tuned model over ItemCF.")
