"""The format of requests and answers: JSON, server-sent events, tags, error codes, dialects of servers."""
