"""Drawn parts for `goodparts demo`: a product to calibrate on, and defects to test the choice with."""

from appliance.demo.defects import KINDS, DrawnDefect, DrawnSet, draw_defective, draw_set
from appliance.demo.parts import draw_part

__all__ = ["KINDS", "DrawnDefect", "DrawnSet", "draw_defective", "draw_part", "draw_set"]
