"""Cases: what the law asks of an expungement, and the steps of one.

Pure: shared by custodian and command line.
"""
