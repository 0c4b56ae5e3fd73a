"""The lab: an embedded Kubernetes cluster with a shop, its traffic, metrics and alerts, for machines without one."""
