"""Plumbing that the package uses and no one imports from outside: no promise is made about it."""
