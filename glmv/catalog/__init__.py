"""The catalogue of models: limits, prices, sources, and contradictions between sources; lookup by name."""
