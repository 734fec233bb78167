"""Messages and options -> the request as the platform takes it, checked before anything is sent."""
