"""The mitigator: chooses a runbook, runs it as a transaction, and keeps or takes back what it did."""
