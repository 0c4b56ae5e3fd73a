"""What is wrong and why: pure functions from a snapshot to findings, one analyzer a file."""
