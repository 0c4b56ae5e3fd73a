"""`primum eval replicas`: several of each service, restarted, and a bus of three servers that loses its leader."""
