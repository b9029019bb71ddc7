"""The table that workers answer from: how it is built, and what is in it."""
