"""Exact protocols for how well the stages do; each module prints what it measured."""

COMMANDS: dict[str, str] = {
    "attributes": "LungCADLib.evaluation.attributes",
    "appearance": "LungCADLib.evaluation.appearance",
    "calm": "LungCADLib.evaluation.calm",
    "cnn-2d": "LungCADLib.evaluation.cnn_2d",
    "detection": "LungCADLib.evaluation.detection",
    "froc": "LungCADLib.evaluation.luna16",
    "dsb": "LungCADLib.evaluation.dsb",
    "lung-rads-cnn": "LungCADLib.evaluation.lung_rads_cnn",
    "membership": "LungCADLib.evaluation.membership",
    "outline": "LungCADLib.evaluation.outline",
    "reader-model": "LungCADLib.evaluation.reader_model",
    "unet-merge": "LungCADLib.evaluation.unet_merge",
}
"""`lungcad evaluate NAME` and the module that offers it through `add_arguments` and `run`; imported when asked for."""
