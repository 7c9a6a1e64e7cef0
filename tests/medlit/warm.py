"""Carries out command lines, each in a fork of a process that has imported what training needs: seven seconds saved.

A line of JSON on standard input asks for one or several at the same time (of each: module with a ``main``, words,
working folder, environment, files for standard output and error); a line with their exit codes answers. See
`tests.medlit.command_line.warm`.
"""

import atexit
import importlib
import json
import os
import sys
import traceback

from medlit import cli

cli._send_chatter_to_stdout()  # as the command does before it imports Lightning
cli.import_all_that_trains()


def start(module, words, cwd, environment, out, err):
    """Begin a program in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    for path, number in ((os.devnull, 0), (out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    sys.modules["__main__"].__spec__ = None  # what starts further processes looks for a script, and finds words[0]
    code = 1
    try:
        code = importlib.import_module(module).main()
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)  # an interpreter that ends in order takes two seconds to clear a million objects away


def main():
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        children = [start(**asked) for asked in json.loads(line)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        answers.write(f"{json.dumps(codes)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
