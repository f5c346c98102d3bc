"""What can be wrong with what was given."""


class CaptureError(Exception):
    """What was given cannot be captured: one line, for whoever gave it."""
