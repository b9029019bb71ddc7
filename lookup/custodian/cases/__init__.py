"""Cases, as the custodian keeps and carries them out; their law is in lookup/cases."""
