"""Retention: holds, reviews, and the sweep; how long a record is kept is in lookup/retention."""
