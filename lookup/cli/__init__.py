"""The command line: `lacuna`. One file per noun; each imports what it needs when it runs."""
