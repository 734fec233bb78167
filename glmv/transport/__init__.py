"""All I/O: drivers that take the steps of a flow, HTTP clients, proxies, deadlines.

Only this package imports the HTTP library (ADR-0013).
"""
