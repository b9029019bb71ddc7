"""The service: both planes, the command line, and what they share."""
