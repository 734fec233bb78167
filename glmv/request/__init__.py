"""Makes a request from messages and options, in the form of the platform, and checks it before it is sent."""
