"""Storms of alerts with a known truth: how many incidents they become, and whether those are the right ones."""
