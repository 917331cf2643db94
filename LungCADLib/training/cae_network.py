"""A convolutional autoencoder around CALM's encoder: what it takes to train the encoder without labels."""

from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from LungCADLib.malignancy.calm_network import KERNELS, MAPS, Encoder, Padding


class Autoencoder(nn.Module):
    """From pictures (n, 1, 40, 40) in 0..1 to pictures again; `encoder` is what is kept.

    Each layer of the encoder has its own decoder, a transposed convolution. Layer by layer a decoder undoes its
    convolution alone; end to end the maps are doubled (nearest) before each decoder, which undoes the pooling.
    """

    def __init__(self, padding: Padding = "same") -> None:
        super().__init__()
        self.encoder = Encoder(padding)
        outputs = (1, MAPS, MAPS)
        self.decoders = nn.ModuleList(
            nn.ConvTranspose2d(MAPS, b, k, padding=k // 2 if padding == "same" else 0)
            for b, k in zip(outputs, KERNELS, strict=True)
        )
        for layer in self.encoder.layers:
            assert isinstance(layer, nn.Conv2d)
            # He et al., ICCV 2015: keeps the scale of what comes through ReLU, so that one learning rate suits all.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def layer(self, maps: Tensor, index: int) -> Tensor:
        """What one layer makes of maps that come to it (n, c, y, x), decoded again."""
        out: Tensor = self.decoders[index](relu(self.encoder.layers[index](maps)))
        return relu(out) if index else out

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.encoder.pooled(pictures)
        for index in reversed(range(len(self.decoders))):
            x = self.decoders[index](interpolate(x, scale_factor=2.0, mode="nearest"))
            x = relu(x) if index else x
        return x
