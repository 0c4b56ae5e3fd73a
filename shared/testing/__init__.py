"""Fakes that honour the ports, virtual time, and builders with defaults: what tests and simulations stand on."""
