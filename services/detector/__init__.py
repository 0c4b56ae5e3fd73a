"""The detector: which incident an alert belongs to, and whether the symptom is still there."""
