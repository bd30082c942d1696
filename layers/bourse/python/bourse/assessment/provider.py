"""The ports to whoever forecasts and classifies: our own rules, or a service of somebody else's. Configuration decides, no code."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from bourse.assessment.model import Attributes, Forecast, RiskClass
from bourse.assets.model import LoanRecord


class CashFlowForecaster(Protocol):
    """Foretells what loans pay.

    Promise: one answer per loan, in their order; None for a loan that cannot be forecast, which is then not offered for sale.
    The same loans on the same day under the same model version get the same answers. Raises Unavailable when it does not
    answer as promised; the same question may succeed later.
    """

    def forecast(self, tenant_id: str, as_of: date, loans: Sequence[LoanRecord]) -> list[Forecast | None]: ...


class RiskClassifier(Protocol):
    """Classes loans by what is known of them, their forecast included. The promise is the forecaster's."""

    def classify(self, tenant_id: str, loans: Sequence[Attributes]) -> list[RiskClass | None]: ...
