"""The service: it watches folders, calibrates again, scores new parts, and tells how it is."""
