"""Response caching: the same question asked twice is paid for once."""
