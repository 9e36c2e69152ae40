"""Our networks against numbers that the original programs computed."""

from paddle_rsseg.alignment.case import Case, Deviation, align

__all__ = ["Case", "Deviation", "align"]
