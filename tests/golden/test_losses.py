"""The loss of the feed-forward object model against reference values."""

from __future__ import annotations

import torch

from veduta.measure import ms_ssim, psnr, reconstruction_loss


def test_losses_and_their_gradients(golden) -> None:
    told = golden("13_losses")
    target = torch.cat(list(told["target_u8"][0].float() / 255), dim=1)
    predicted = {name: (told[f"{name}_u8"].float() / 255).reshape(target.shape) for name in ("coarse", "fine")}
    for image in predicted.values():
        image.requires_grad_(True)
    total = torch.stack([reconstruction_loss(image, target) for image in predicted.values()]).sum()
    total.backward()
    told.check("total_loss", total.detach().reshape(told["total_loss"].shape))
    for name, image in predicted.items():
        suffix = "" if name == "coarse" else "_fine"
        for field, value in (
            ("mse", (image - target).square().mean()),
            ("psnr", psnr(image, target)),
            ("ssim", ms_ssim(image, target)),
        ):
            told.check(field + suffix, value.detach().reshape(told[field + suffix].shape))
        assert image.grad is not None
        told.check(f"grad_{name}", image.grad[::7, ::7].reshape(told[f"grad_{name}"].shape))
