"""A real Kubernetes for tests: built from its published Go modules, shut in a network namespace of its own."""
