"""The custodian: owns store, map and slots; feeds the workers; serves authorities and officers."""
