"""Errors meant for the person who runs genrec: what failed, the value, the fix."""


class GenrecError(Exception):
    """A problem the user can act on. Its message is complete in one or two lines; no traceback is needed."""


class ConfigError(GenrecError):
    """A setting is unknown, of the wrong type or out of bounds."""


class DataError(GenrecError):
    """Input data cannot be used as it is; the message names the file, the place and the reason."""


class DamagedFile(DataError):
    """The content of one file is not what its name promises; other files may well be read."""


class TrainingError(GenrecError):
    """Training cannot go on (a non-finite loss, say); the message names the stage, the step and the batch."""
