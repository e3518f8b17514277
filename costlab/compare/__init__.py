"""A workload file in, a decision out: what ``costlab compare`` prints.

:func:`load` reads and checks the file, :func:`compare` prices every option in it, :func:`example` is the file that the
package ships.
"""

from costlab.compare.comparison import ApiSide, Comparison, OwnSide, compare
from costlab.compare.files import Scenario, ScenarioError, example, load, parse

__all__ = ["ApiSide", "Comparison", "OwnSide", "Scenario", "ScenarioError", "compare", "example", "load", "parse"]
