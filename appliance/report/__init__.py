"""report.html: one file for the person at the line, made from the run folder alone."""

from appliance.report.page import render, write_report

__all__ = ["render", "write_report"]
