"""Faults between an application and the platform, and verdicts on how a client handled them."""
