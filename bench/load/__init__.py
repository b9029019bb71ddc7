"""Load: closed (as fast as the answers come) and offered (at a rate, whatever the answers do)."""
