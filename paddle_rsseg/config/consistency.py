"""What the parts of the settings must agree on, and what they tell one another."""

from __future__ import annotations

from paddle_rsseg.config.schema import Settings


def complete(settings: Settings) -> Settings:
    return settings
