"""Measurements: read through the ports, then reduced by pure functions to what judgement needs."""
