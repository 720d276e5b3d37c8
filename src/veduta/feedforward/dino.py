"""The image encoder: a vision transformer (DINO, Caron et al. 2021) through the library ``transformers``."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from veduta.core import MissingDependencyError
from veduta.feedforward.volume import FINE_EPS

PATCH = 16
"""Pixels along a token's side."""
TABLE = 14
"""Tokens along the side of the published position table."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which the published weights expect taken off."""


class DinoEncoder(nn.Module):
    """Square photographs -> a token per 16x16 pixels.

    Raises :class:`MissingDependencyError` where ``transformers`` is not installed.
    """

    def __init__(self, *, size_px: int = 512, channels: int = 768, layers: int = 12, heads: int = 12) -> None:
        super().__init__()
        if importlib.util.find_spec("transformers") is None:
            raise MissingDependencyError(
                "the image encoder needs the package transformers", hint="pip install 'veduta[feedforward]'"
            )
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=channels,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * channels,
            layer_norm_eps=FINE_EPS,
            image_size=size_px,
            patch_size=PATCH,
        )
        self.side = size_px // PATCH
        self.model = ViTModel(config, add_pooling_layer=False)
        del self.model.embeddings.position_embeddings
        given = torch.zeros(0, device="cpu")  # replaced at every call
        self.model.embeddings.register_buffer("position_embeddings", given, persistent=False)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + TABLE * TABLE, channels))

    def forward(self, images: Float[Tensor, "v h w 3"]) -> Float[Tensor, "v s s c"]:
        """Tokens of photographs in sRGB, 0 to 1, row by row."""
        mean, deviation = images.new_tensor(MEAN), images.new_tensor(DEVIATION)
        pixels = ((images - mean) / deviation).permute(0, 3, 1, 2)
        given = {"embeddings.position_embeddings": self.positions()}
        tokens = torch.func.functional_call(self.model, given, (pixels,)).last_hidden_state
        return tokens[:, 1:].unflatten(1, (self.side, self.side))

    def positions(self) -> Float[Tensor, "1 t c"]:
        """The position table stretched to the image's tokens, the class token's left as it is."""
        table = self.pos_embed[:, 1:].unflatten(1, (TABLE, TABLE)).permute(0, 3, 1, 2)
        size = (self.side, self.side)
        stretched = nn.functional.interpolate(table, size, mode="bicubic", antialias=True, align_corners=False)
        return torch.cat([self.pos_embed[:, :1], stretched.flatten(2).mT], dim=1)


RENAMED = {
    "cls_token": "model.embeddings.cls_token",
    "pos_embed": "pos_embed",
    "patch_embed.proj": "model.embeddings.patch_embeddings.projection",
    "norm": "model.layernorm",
}
IN_LAYER = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.o_proj",
    "norm2": "layernorm_after",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Published names of parts, and those of ``transformers``."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published encoder's tensors under the names that :class:`DinoEncoder` has; unknown names stay as they are."""
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        part, _, last = key.rpartition(".")
        if key in RENAMED:
            renamed[RENAMED[key]] = value
        elif part in RENAMED:
            renamed[f"{RENAMED[part]}.{last}"] = value
        elif part.startswith("blocks."):
            _, index, inside = part.split(".", 2)
            layer = f"model.layers.{index}"
            if inside == "attn.qkv":
                for name, third in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{layer}.attention.{name}_proj.{last}"] = third
            else:
                renamed[f"{layer}.{IN_LAYER.get(inside, inside)}.{last}"] = value
        else:
            renamed[key] = value
    return renamed


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`from_published`."""
    back = {ours: theirs for theirs, ours in RENAMED.items()} | {ours: theirs for theirs, ours in IN_LAYER.items()}
    published: dict[str, Tensor] = {}
    for key, value in state.items():
        part, _, last = key.rpartition(".")
        if part.endswith(("k_proj", "v_proj")):
            continue
        if key in back:
            published[back[key]] = value
        elif part in back:
            published[f"{back[part]}.{last}"] = value
        else:
            index, inside = part.removeprefix("model.layers.").split(".", 1)
            if inside == "attention.q_proj":
                names = [key.replace("q_proj", f"{name}_proj") for name in "qkv"]
                published[f"blocks.{index}.attn.qkv.{last}"] = torch.cat([state[name] for name in names])
            else:
                published[f"blocks.{index}.{back[inside]}.{last}"] = value
    return published
