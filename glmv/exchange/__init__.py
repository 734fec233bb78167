"""The logic of a call without I/O: steps, flow, retries, the gate."""
