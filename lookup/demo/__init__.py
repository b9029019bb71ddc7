"""The demonstration: its sample, its story, and the thief who cannot end it differently."""
