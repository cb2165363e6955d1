"""The verbs: one module a command; each takes a frozen config and returns a frozen report."""
