"""One technology a file: each implements a port, and only composition roots import it."""
