"""Mutation testing: small changes to the modules that contain decisions; the tests should notice each change."""
