"""Benchmarks: one file for each claim, `python -m bench --help` for the rest.

Claims of the custodian: importing, importing_http, starting, memory, shredding, shredding_many,
sweeping, appending, index_size, probe, syncing. Claims of lookups: single (beside its peers),
batch, latency, growth, workers, layers, timing. large: both, at ten million records, for `make
bench-full`. Of families, who are given a certificate of destruction, or a copy, and of those who
were told of them: certificates, exporting, recalling.

Around them: officers and casework (who brings a record's destruction about), claim (what a result
says), running (one run), sites and held (sites of each size, in this process), audited (what
workers wrote), served (the real processes), asking and proving (requests, and how a client proves
itself), processors (CPUs), distinguishing (statistics), flame, certificate, machine, report and
plots; load/ has the closed and the open loop, peers/ what Lacuna is compared with.

day plays locustfile against a real site: `make load`.
"""
