"""The formats of requests and responses: JSON, server-sent events, tags, error codes, dialects of servers."""
