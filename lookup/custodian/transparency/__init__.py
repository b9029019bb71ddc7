"""The transparency log, as the custodian keeps and publishes it."""
