"""Mutation testing: small changes to the modules that decide, each of which the tests should notice."""
