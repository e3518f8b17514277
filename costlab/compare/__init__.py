"""A workload file in, a decision out: what ``costlab compare`` prints.

:func:`load` reads and checks the file, :func:`compare` prices every option in it, :func:`example` is the file that the
package ships.
"""

from costlab.compare.comparison import Comparison, compare
from costlab.compare.files import WorkloadFile, WorkloadFileError, example, load, parse
from costlab.compare.sides import ApiSide, OwnSide

__all__ = [
    "ApiSide",
    "Comparison",
    "OwnSide",
    "WorkloadFile",
    "WorkloadFileError",
    "compare",
    "example",
    "load",
    "parse",
]
