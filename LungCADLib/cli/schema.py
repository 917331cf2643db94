"""`lungcad schema`: the shape of study.json, for programs that read it."""

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing to choose."""


def run(args: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    from LungCADLib.study import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0
