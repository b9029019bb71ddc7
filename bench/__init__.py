"""Benchmarks: one file for each claim, `python -m bench --help` for the rest.

Claims: importing, importing_http, starting, memory, shredding, shredding_many, index_size, probe,
syncing. Around them: claim (what a result says), running (one run), sites and held (sites of each
size, in this process), served (the real processes), machine, report and plots.
"""
