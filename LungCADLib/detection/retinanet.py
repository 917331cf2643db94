"""The RetinaNet of MONAI's bundle `lung_nodule_ct_detection`, built without torchvision.

Architecture by the bundle's `configs/inference.json` (Project-MONAI/model-zoo, version 0.6.8): a 3D ResNet-50 up to
its second stage, a feature pyramid of three levels, and the heads of Lin et al. 2017 (arXiv:1708.02002). Parameters
have the names that MONAI's `resnet_fpn_feature_extractor` gives them, so that the bundle's weights load.

Imported only where the network runs.
"""

from collections import OrderedDict
from collections.abc import Sequence

from monai.apps.detection.networks.retinanet_network import RetinaNet
from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from monai.networks.nets import resnet
from torch import Tensor, nn

SIZE_DIVISIBLE = (16, 16, 8)
FPN_CHANNELS = 256
_STAGE_CHANNELS = (256, 512)
"""Of the two bottleneck stages that feed the pyramid: 64 and 128 planes, each expanded by four."""


class Body(nn.ModuleDict):
    """A ResNet up to its second stage, answering with the features of both stages."""

    def __init__(self) -> None:
        whole = resnet.ResNet(
            resnet.ResNetBottleneck,
            layers=[3, 4, 1, 1],
            block_inplanes=resnet.get_inplanes(),
            spatial_dims=3,
            n_input_channels=1,
            conv1_t_size=(7, 7, 7),  # type: ignore[arg-type]
            conv1_t_stride=(2, 2, 1),  # type: ignore[arg-type]
            feed_forward=False,
        )
        parts = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2")
        super().__init__({name: getattr(whole, name) for name in parts})

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        features = OrderedDict()
        for name, part in self.items():
            x = part(x)
            if name.startswith("layer"):
                features[name] = x
        return features


class Pyramid(nn.Module):
    """The feature extractor: three levels of `FPN_CHANNELS` features, the first at (4, 4, 2) voxels, then half each."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.fpn = FeaturePyramidNetwork(3, list(_STAGE_CHANNELS), FPN_CHANNELS, LastLevelMaxPool(3))
        self.out_channels = FPN_CHANNELS

    def forward(self, x: Tensor) -> "OrderedDict[str, Tensor]":
        levels: OrderedDict[str, Tensor] = self.fpn(self.body(x))
        return levels


def retinanet(anchors: int = 3, classes: int = 1, size_divisible: Sequence[int] = SIZE_DIVISIBLE) -> RetinaNet:
    """The network, untrained.

    Parameters
    ----------
    anchors
        Anchor boxes at each location.
    classes
        Kinds of objects, background not counted.
    size_divisible
        What each side of its input must be a multiple of.
    """
    return RetinaNet(3, classes, anchors, Pyramid(), size_divisible)
