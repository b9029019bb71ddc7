"""A worker that only audits, until it is killed; it says what it would have answered by now.

python -m tests.lookup.custodian.auditor AUDIT VAULT      AUDIT: MessagePack in hex; VAULT in hex
"""

import os
import random
import sys
import time

import msgspec

from lookup.audit.segment import make_group
from lookup.handoff import Audit
from tests.lookup.custodian.segments import SIZE, SegmentFile, head_of

_ROOM = 16 << 10


def main() -> None:
    """Write groups of a few entries; say each entry's request id when its group is written."""
    audit = msgspec.msgpack.decode(bytes.fromhex(sys.argv[1]), type=Audit)
    vault = bytes.fromhex(sys.argv[2])
    segment = SegmentFile(audit, vault)
    while True:
        heads = [head_of() for _ in range(random.randint(1, 5))]  # noqa: S311  # no secret
        group = make_group(segment.sealer, [segment.maker.make(head, [[]]) for head in heads])
        cut = random.randrange(len(group))  # noqa: S311  # as above
        # In two pieces: whoever reads in between reads half a group.
        segment.write_in_two(group, cut)
        time.sleep(0.005)
        os.write(1, b"".join(head.request_id.hex().encode() + b"\n" for head in heads))
        if segment.at > SIZE - _ROOM:
            segment.end()
            segment.close()
            segment = SegmentFile(audit, vault)


if __name__ == "__main__":
    main()
