"""The undo service: takes back what did not help, hurt, or lost its holder, and verifies that it is back."""
