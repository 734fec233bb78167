"""What a call does, decided step by step without I/O: steps, flow, retries, the gate."""
