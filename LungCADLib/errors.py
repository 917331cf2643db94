"""The ways a run can end early that are nobody's bug."""


class InputError(ValueError):
    """The input cannot be used. The message is one sentence: what is wrong, where, and what to do."""


class OutputError(Exception):
    """The results cannot be written. The message is one sentence: where, why, and what to do."""


class Cancelled(Exception):
    """The person asked for the run to stop."""
