"""The diagnoser: which causes an incident has, on what evidence, in which order."""
