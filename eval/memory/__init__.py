"""Thousands of incidents from their first alert to their end, and what the services' processes hold meanwhile."""
