"""Records: what is stored of them, what feeds send, and what their readers are shown."""
