"""Models that answer a tier's queries, each kind in a module of its own; :mod:`costlab.router` offers them.

One suite of tests holds what each of them keeps: many calls at once, cancellation, no call that holds up the event
loop, and an error that says what was billed.
"""
