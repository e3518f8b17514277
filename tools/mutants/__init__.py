"""How much the tests of the pure core hold: it is changed in thousands of places, and each should fail a test."""
