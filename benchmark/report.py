"""What one benchmark run gives: the conditions, the limits of the CPU, and a row for each graph."""

import dataclasses

from benchmark.conditions import Conditions
from benchmark.roofline import Peaks
from benchmark.row import Row


@dataclasses.dataclass(frozen=True)
class Report:
    """Graphs that were measured together.

    Attributes:
        conditions: What the figures depend on.
        roofline: What the CPU can do at most; None if it was not timed.
        rows: One for each graph.
    """

    conditions: Conditions
    roofline: Peaks | None
    rows: tuple[Row, ...]

    @property
    def failed(self) -> bool:
        """Whether a graph could not be measured to the end."""
        return any(row.fault for row in self.rows)
