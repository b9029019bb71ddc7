"""What people would pick instead, started on loopback in temporary folders.

nginx (a fixed body), webdis (Redis behind HTTP), ordinary (FastAPI, pydantic and PostgreSQL doing
the same job), routed (our own handler behind FastAPI). Around them: process (how each is started
and stopped), postgresql (a server of its own), question (the request as a pydantic model).
"""
