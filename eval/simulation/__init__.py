"""All of Primum and a cluster in one event loop on virtual time, with faults and crashes drawn from a seed."""
