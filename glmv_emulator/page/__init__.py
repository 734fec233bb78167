"""The web page of the emulator: its requests, live."""
