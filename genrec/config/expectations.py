"""What a user expects of the data that is read, beside the contract that every artifact keeps."""

from genrec.config.section import Section, knob


class ExpectationsConfig(Section):
    """Looked at in every run, also where nothing new was read: a run whose data breaks one stops behind ingest."""

    min_interactions: int | None = knob(None, "Interactions that have to be there, at least.", ge=1)
    min_users: int | None = knob(None, "Users with an interaction, at least.", ge=1)
    min_items: int | None = knob(None, "Items with an interaction, at least.", ge=1)
    max_share_without_text: float | None = knob(
        None, "Share of the items with an interaction that may have no text at all (or no metadata).", ge=0, le=1
    )
    max_days_since_last_event: float | None = knob(
        None, "Days between the latest interaction and the run, at most; needs times, not positions.", gt=0
    )
