"""All recordings that need a GPU, made in a quarter of an hour: ``python -m tools.gpu_kit --help``.

``pack`` gathers here what a machine without a network lacks; ``run``, called there as often as needed, measures step by
step and keeps each, whatever ends it. CONTRIBUTING has the commands in order.
"""
