"""Plumbing that the package uses and nobody imports from outside: no promise is made about it."""
