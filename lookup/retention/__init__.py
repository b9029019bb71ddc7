"""Retention: how long the law, as an authority has understood it, keeps a record.

Pure: shared by custodian and command line.
"""
