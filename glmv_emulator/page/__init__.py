"""The web page of the emulator, which shows incoming requests live."""
