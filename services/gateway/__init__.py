"""The gateway: alerts and people come in here, and what needs a person goes out."""
