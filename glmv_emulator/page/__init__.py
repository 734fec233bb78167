"""The page at the emulator's root: its requests, live."""
