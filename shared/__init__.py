"""What all services share: values, rules, ports and their adapters."""
