"""Officers: the key that each of them keeps, and the tokens that they make with it.

Nothing here reaches a vault: an officer's own machine runs it, offline.
"""
