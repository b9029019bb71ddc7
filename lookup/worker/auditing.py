class Auditor:
    pass
