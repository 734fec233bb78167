"""What can go wrong between an application and the platform, and how a client took it."""
