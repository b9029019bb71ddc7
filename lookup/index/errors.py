"""What can be so of a table, its folder, or a change to it.

    TableError
    ├── InvalidTable    not a table, of another format, or of the wrong length
    ├── FolderUnsafe    the folder is not private, or not in memory
    ├── IndexSpace      the memory file system has no room for the table
    ├── ReaderUnknown   a superseded table has a reader that cannot be ended
    ├── TableFull       the table holds as many links as it was made for: grow it
    │   └── WindowFull  a window has no room for one more slot: grow it
    ├── TooManyLinks    one tag has as many links as may be answered for
    ├── LinkExists      this tag has this handle already
    └── LinkNotFound    this tag has no such handle

What a worker tells its callers is in lookup/errors.py. A change that raises has changed nothing.
"""


class TableError(Exception):
    """Something is so of a table that its user must act on."""


class InvalidTable(TableError):
    """The file is not a table, or not one of this format."""


class FolderUnsafe(TableError):
    """The folder would show tags to others, or let them reach a disk."""


class IndexSpace(TableError):
    """The memory file system cannot hold a table of this size."""


class ReaderUnknown(TableError):
    """Somebody may answer from a superseded table, and this process cannot name it."""


class TableFull(TableError):
    """The table holds as many links as it was made for: see `Table.grow`."""


class WindowFull(TableFull):
    """No place is left in the window of a tag: see `Table.grow`."""


class TooManyLinks(TableError):
    """A tag would have more links than `layout.MAX_LINKS_PER_TAG`."""


class LinkExists(TableError):
    """A tag would have one handle twice."""


class LinkNotFound(TableError):
    """A tag has no link with this handle."""
