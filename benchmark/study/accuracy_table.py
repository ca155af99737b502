"""The tables of the learning study: accuracy of a model on a data set, or on single pictures."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

from benchmark.result_files import from_cells
from mai_depth.atomic import write_text_atomic
from mai_depth.errors import UserError

METRICS = ("si_rmse", "rmse", "abs_rel", "delta1", "abs_rel_median_scaled", "delta1_median_scaled",
           "abs_rel_affine_aligned", "delta1_affine_aligned", "boundary_f1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A line of a table.

    Attributes:
        arm: What was tried: models of one arm differ by seed and fold alone.
        fold: Which fold's training part the model has seen; None without folds.
        model: The end of its path.
        sha256: Of its file; of the depth map for the mean depth map.
        data: Name of the data set.
        picture: Name of the picture; empty for the mean over all.
        images: How many have valid depth.
        focal_length: Of the camera in picture widths (the median, if they differ): predictions were
            multiplied by `focal_length / 0.811`; None where they were taken as they are.
        si_rmse: As in `mai_depth.metrics`, and so are the others.
        rmse: In metres.
        abs_rel: REL.
        delta1: Share of the pixels.
        abs_rel_median_scaled: With each map scaled to the median of the truth.
        delta1_median_scaled: The same.
        abs_rel_affine_aligned: With each map fitted to the truth by scale and shift.
        delta1_affine_aligned: The same.
        boundary_f1: As in `mai_depth.edge_metrics`; NaN for a picture without a true edge, which
            has no part in the mean.
    """

    arm: str
    fold: int | None = None
    model: str
    sha256: str
    data: str
    picture: str = ""
    images: int
    focal_length: float | None = None
    si_rmse: float
    rmse: float
    abs_rel: float
    delta1: float
    abs_rel_median_scaled: float
    delta1_median_scaled: float
    abs_rel_affine_aligned: float
    delta1_affine_aligned: float
    boundary_f1: float

    @property
    def key(self) -> tuple:
        """What a table has one line of."""
        return self.arm, self.fold, self.sha256, self.data, self.picture


COLUMNS = tuple(field.name for field in dataclasses.fields(Accuracy))


def read_table(path: pathlib.Path) -> list[Accuracy]:
    """Reads a table.

    Args:
        path: As `write_lines` has written it.

    Returns:
        Its lines, in their order.

    Raises:
        UserError: It cannot be read or is another kind of file.
    """
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UserError(f"{path}: is not a table of this command; give another file")
            return [from_cells(Accuracy, line) for line in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); measure first, or give another file"
                        ) from error
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path}: holds a broken line ({error}); fix or remove it") from error


def write_lines(path: pathlib.Path, lines: Sequence[Accuracy]) -> None:
    """Appends lines to a table; what was measured before of the same model is replaced.

    Args:
        path: The file; it need not exist.
        lines: What was measured.

    Raises:
        UserError: As `read_table`.
    """
    old = read_table(path) if path.exists() else []
    new = {line.key for line in lines}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in [*(line for line in old if line.key not in new), *lines]:
        writer.writerow(dataclasses.asdict(line))
    write_text_atomic(path, text.getvalue())
