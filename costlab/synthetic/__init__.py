"""Invented traffic: seeded streams of requests, days of made-up services, sample logs."""
