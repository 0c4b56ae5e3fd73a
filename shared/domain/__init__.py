"""Pure values and rules of on-call work; no library but pydantic."""
