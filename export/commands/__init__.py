"""The commands of `goodparts-export`, one file each: `add_parser` says what it takes, `run` does it.

Parsers are made without torch; what is heavy is imported when a command runs.
"""
