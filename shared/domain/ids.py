"""The names of things: each its own type, so that one can never stand in for another."""

from typing import NewType

ClusterName = NewType("ClusterName", str)
IncidentId = NewType("IncidentId", str)
TransactionId = NewType("TransactionId", str)
EventId = NewType("EventId", str)
Fingerprint = NewType("Fingerprint", str)
PlanHash = NewType("PlanHash", str)
CorrelationKey = NewType("CorrelationKey", str)
HolderId = NewType("HolderId", str)
"""One run of one process: a restarted mitigator is another holder."""
Epoch = NewType("Epoch", int)
"""The fencing token: the ledger sequence at which a transaction's locks were taken or seized."""
