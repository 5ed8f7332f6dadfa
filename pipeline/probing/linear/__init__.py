"""Linear probes: which of N candidates answers a question, asked of every layer's frozen states."""
