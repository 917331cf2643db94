"""What made the weights, so that anyone can make them again."""

COMMANDS: dict[str, str] = {
    "attributes": "LungCADLib.training.attributes",
    "appearance": "LungCADLib.training.appearance",
    "calm": "LungCADLib.training.calm",
    "cnn-2d": "LungCADLib.training.cnn_2d",
    "detection": "LungCADLib.training.detection",
    "lung-rads-cnn": "LungCADLib.training.lung_rads_cnn",
    "margin": "LungCADLib.training.margin",
    "membership": "LungCADLib.training.membership",
    "outline": "LungCADLib.training.outline",
    "reader-model": "LungCADLib.training.reader_model",
    "reduction": "LungCADLib.training.reduction",
    "unet-merge": "LungCADLib.training.unet_merge",
}
"""`lungcad train NAME` and the module that offers it through `add_arguments` and `run`; imported when asked for."""
