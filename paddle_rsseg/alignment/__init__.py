"""Our networks against numbers that the original programs computed."""

from paddle_rsseg.alignment.case import STEPS, Case, Deviation
from paddle_rsseg.alignment.run import Measured, align, measure

__all__ = ["STEPS", "Case", "Deviation", "Measured", "align", "measure"]
