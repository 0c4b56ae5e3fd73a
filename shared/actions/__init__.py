"""What Primum can do to a cluster, one action a file: pure functions from parameters and a snapshot to changes."""
