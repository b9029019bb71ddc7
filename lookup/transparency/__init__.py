"""The transparency log as the world sees it: what anybody can fetch, compute and verify."""
