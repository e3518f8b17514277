"""A workload file in, a decision out, and how sure it is: what ``costlab compare`` prints.

:func:`load_workload` reads and checks the file, :func:`compare` prices every option in it, and :func:`explanation`
tells the result in words; :func:`example_workload` is the file that the package ships. :func:`monte_carlo` and
:func:`tornado` ask any function how sure its result is.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.compare.comparison import (
        ApiQuote as ApiQuote,
        Comparison as Comparison,
        SelfHostedQuote as SelfHostedQuote,
        compare as compare,
        explanation as explanation,
        heading as heading,
        option_rows as option_rows,
    )
    from costlab.compare.sensitivity import (
        MonteCarlo as MonteCarlo,
        Range as Range,
        Tornado as Tornado,
        TornadoBar as TornadoBar,
        monte_carlo as monte_carlo,
        tornado as tornado,
    )
    from costlab.compare.workload_file import (
        WorkloadFile as WorkloadFile,
        WorkloadFileError as WorkloadFileError,
        example_workload as example_workload,
        load_workload as load_workload,
        parse_workload as parse_workload,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
