"""What the gateway takes in, and how fast, beside the same JetStream without it."""
