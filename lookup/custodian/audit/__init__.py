"""The custodian's half of the audit: what workers wrote becomes the chain, and is told of."""
