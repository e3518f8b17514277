"""Cost models for AI systems: the package under the book *Cost-Aware AI Architecture*.

``import costlab`` loads nothing but itself; import the module you need::

    from costlab import calculator, catalog
"""

__version__ = "1.0.0"
