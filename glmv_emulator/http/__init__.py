"""Requests and responses: how a response is sent, and what the journal stores of both."""
