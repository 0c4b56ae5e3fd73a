"""Runbooks: contracts in YAML, the catalog that checks them, and the planning that binds one to a cause."""
