"""Models as data, with sources and doubts; lookup by name."""
