"""The ways to the outside, one Protocol a file; adapters implement them, contract tests hold both to their word."""
