"""A workload file in, a decision out: what ``costlab compare`` prints.

:func:`load` reads and checks the file, :func:`compare` prices every option in it, :func:`example` is the file that the
package ships.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.compare.comparison import Comparison as Comparison, compare as compare
    from costlab.compare.files import (
        WorkloadFile as WorkloadFile,
        WorkloadFileError as WorkloadFileError,
        example as example,
        load as load,
        parse as parse,
    )
    from costlab.compare.sensitivity import (
        MonteCarlo as MonteCarlo,
        Range as Range,
        Tornado as Tornado,
        TornadoBar as TornadoBar,
        monte_carlo as monte_carlo,
        tornado as tornado,
    )
    from costlab.compare.sides import ApiSide as ApiSide, OwnSide as OwnSide
else:
    __getattr__, __dir__ = lazy_package(__name__)
