"""What measures Primum: the lab, the scenarios with their truth, and the oracles."""
