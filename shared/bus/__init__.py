"""The streams as data, and the one loop that every service runs."""
