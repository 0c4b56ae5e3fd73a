"""The command line: a thin client of the gateway, the supervisor behind `primum up`, and what needs neither."""
