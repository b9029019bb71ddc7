"""The SDK: how a hospital's own software asks whether a child is known.

`sync.LookupClient` and `aio.AsyncLookupClient` ask; `enrolment` reads what a site gave out;
`outcome` says what can come back. Nothing here reaches a data key or the custodian.
"""
