"""The server on loopback: connections, what stands before the endpoints, and which path leads to which."""
