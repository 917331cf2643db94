"""One run from a request to files: what `lungcad analyze` and a worker both do."""

from dataclasses import fields, replace

from LungCADLib.jobs.output import RESULTS, publishing
from LungCADLib.jobs.request import Request
from LungCADLib.progress import Progress
from LungCADLib.scan import Header
from LungCADLib.study import Study


def run(request: Request, progress: Progress) -> Study:
    """Read a scan, analyze it, and write the results, which appear whole or not at all.

    Raises
    ------
    InputError
        If the input or the settings cannot be used.
    OutputError
        If the results cannot be written.
    Cancelled
        If `progress` says so.
    """
    from LungCADLib import report
    from LungCADLib.pipeline import analyze, write_results
    from LungCADLib.readers import read_scan

    with progress.stage("read"):
        scan = read_scan(request.input, series=request.series, progress=progress)
        if request.header is not None:
            scan = replace(scan, header=_merged(scan.header, request.header))
    study = analyze(scan, request.settings, progress)
    write = write_results if request.scene else report.write_results
    with progress.stage("write"), publishing(request.out, RESULTS.keys()) as partial:
        write(study, scan, partial)
    return study


def _merged(read: Header, told: Header) -> Header:
    """What was read, with what the caller knows in its place."""
    return replace(read, **{f.name: getattr(told, f.name) for f in fields(Header) if getattr(told, f.name)})
