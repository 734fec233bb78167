"""The emulator's HTTP server: connections, middleware and routes."""
