"""Faults with their truth, one a file."""
