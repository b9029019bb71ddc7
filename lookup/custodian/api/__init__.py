"""The custodian's HTTP interface: what authorities and officers call.

One app serves two listeners. Over TCP every request but health needs the officer's token; over the
UNIX socket in its 0700 folder the file system is the guard, and only there are the calls that
destroy (`local`): over TCP they are not there, for whatever method. There is no DELETE anywhere:
forgetting is a procedure, not a verb. No answer is to be stored: most of them name a child.
"""
