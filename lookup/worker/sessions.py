from hashlib import sha256

from lookup.errors import Unauthorized


class Sessions:
    def __init__(self):
        self._d = {}

    def client_of(self, authorization, view, now):
        d = self._d.get(authorization)
        if d is None:
            scheme, _, secret = authorization.partition(b" ")
            d = sha256(secret).hexdigest() if scheme.lower() == b"bearer" else ""
            if len(self._d) < 1000:
                self._d[authorization] = d
        c = view.clients.get(d)
        if c is None:
            raise Unauthorized
        return c
