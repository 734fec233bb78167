"""Requests and responses as they pass: how a response is played, and what is kept of both."""
