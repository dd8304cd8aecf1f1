"""The entry point ``trimtab``: a quick way to the overview, and errors as exit codes.

Exit codes: 0 done; 1 something outside failed, or a defect of ours; 2 the user's mistake; 3 a gate was not passed, or
an alarm; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

DONE, FAILED, MISTAKE, REJECTED, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h", "help"):
        from trimtab.cli.commands import overview

        sys.stdout.write(overview())
        return DONE
    if words[0] in ("--version", "-V"):
        from importlib.metadata import version

        sys.stdout.write(f"trimtab {version('trimtab')}\n")
        return DONE
    debug = "--debug" in words
    try:
        return run([word for word in words if word != "--debug"])
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, as in 'trimtab history | head'
        sys.stderr.close()
        return DONE
    except Exception as error:
        if debug:
            raise
        text, code = explain(error)
        sys.stderr.write(text + "\n")
        return code


def run(words: list[str]) -> int:
    """Parses and carries out one command.

    Raises:
        UserError: the command line cannot be understood, or what the command itself raises.
    """
    from trimtab.cli.app import parse

    return parse(words)


def explain(error: Exception) -> tuple[str, int]:
    """The text for stderr and the exit code of an error."""
    from trimtab.core.domain.errors import ConfigError, InvariantError, TrimtabError, UserError

    if isinstance(error, ConfigError):
        return str(error), MISTAKE
    if isinstance(error, UserError):
        return f"trimtab: {error}", MISTAKE
    if isinstance(error, InvariantError):
        return f"trimtab: {error}. Nothing was changed. This is a defect of Trimtab: --debug shows where", FAILED
    if isinstance(error, TrimtabError):
        return f"trimtab: {error}", FAILED
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("trimtab"):
        return f"trimtab: this command needs '{error.name}': pip install 'trimtab[loop]'", FAILED
    words = " ".join(str(error).split()) or "no message"
    return f"trimtab: {type(error).__name__}: {words}. This is not your mistake: --debug shows where", FAILED


if __name__ == "__main__":
    sys.exit(main())
