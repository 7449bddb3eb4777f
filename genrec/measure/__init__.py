"""Full-catalogue, item-level evaluation: predictions, metrics with intervals, comparisons and the report."""
