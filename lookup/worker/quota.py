class Quotas:
    pass
