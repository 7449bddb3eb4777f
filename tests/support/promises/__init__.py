"""What docs/reliability.md counts: each promise as a function of how often it is tried, shared by tests and the script."""
