"""Ids over time: kept ids and ids of new items (keep, new_items), and what a new fit would change (refit, churn)."""
