"""What the maintainers of the book run; nothing of it is in the wheel."""
