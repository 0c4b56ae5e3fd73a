"""Real Prometheus and Alertmanager, as child processes, watching the lab as they would watch a cluster."""
