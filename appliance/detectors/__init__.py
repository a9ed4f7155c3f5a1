"""The candidates: what can be chosen from on this box."""

from __future__ import annotations

from appliance.detectors.candidates import Installed, installed

__all__ = ["Installed", "installed"]
