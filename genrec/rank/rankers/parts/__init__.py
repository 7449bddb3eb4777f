"""What rankers share."""
