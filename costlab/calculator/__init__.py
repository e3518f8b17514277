"""From GPU-hours to money: monthly bills, whole machines, commitments, spot.

Pure functions: no clock, no files beyond the catalogue's own rows, no random numbers. An argument outside its domain
raises :class:`~costlab.errors.InvalidValueError`.
"""

from typing import TYPE_CHECKING

from costlab._internal.lazy import lazy_package

if TYPE_CHECKING:
    from costlab.calculator.billing import (
        Commitment as Commitment,
        CommitmentBill as CommitmentBill,
        MonthlyCost as MonthlyCost,
        best_commitment as best_commitment,
        commitment_bill as commitment_bill,
        commitment_break_even as commitment_break_even,
        cost_per_request as cost_per_request,
        monthly_cost as monthly_cost,
        saving_fraction as saving_fraction,
        usd_per_useful_hour as usd_per_useful_hour,
    )
    from costlab.calculator.machines import (
        Machines as Machines,
        MachineSize as MachineSize,
        cheapest_machines as cheapest_machines,
    )
    from costlab.calculator.spot import (
        SpotJob as SpotJob,
        SpotVerdict as SpotVerdict,
        checkpoint_interval_s as checkpoint_interval_s,
        may_use_spot as may_use_spot,
        spot_job as spot_job,
    )
else:
    __getattr__, __dir__ = lazy_package(__name__)
