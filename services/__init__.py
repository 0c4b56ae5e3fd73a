"""The five services and the command line; none of them imports another."""
