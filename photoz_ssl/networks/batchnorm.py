"""BatchNorm split into groups of a batch (He et al. 2020, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GroupedBatchNorm2d", "group_batchnorm", "set_groups"]


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that in training normalises each of several parts of a batch by itself.

    Its running statistics move on as if the parts had come one after the other. Weights and
    their names are those of `torch.nn.BatchNorm2d`.
    """

    n_groups = 1
    """Parts that a batch is cut into, as `torch.chunk` cuts it."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalised maps, shape (n, channels, height, width)."""
        normalise = super().forward
        if self.n_groups == 1 or not self.training:
            return normalise(images)
        if torch.compiler.is_compiling() and len(images) % self.n_groups == 0:
            return self._in_one_pass(images)
        if images.device.type == "cpu" and not torch.is_grad_enabled():
            return self._into_place(images)
        return torch.cat([normalise(part) for part in images.chunk(self.n_groups)])

    def _in_one_pass(self, images: Tensor) -> Tensor:
        """The same by plain operations, which are slow one by one and fast where compiled."""
        groups = images.view(self.n_groups, -1, *images.shape[1:])  # (groups, n, channels, y, x)
        whole = groups.to(self.weight.dtype)
        variance, mean = torch.var_mean(whole, dim=(1, 3, 4), correction=0)  # (groups, channels)
        self._follow(mean, variance, whole[0, :, 0].numel())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        scaled = whole * scale[:, None, :, None, None] + shift[:, None, :, None, None]
        normalised: Tensor = scaled.to(images.dtype).flatten(0, 1)
        return normalised

    def _into_place(self, images: Tensor) -> Tensor:
        """The same without gradients: to put the parts together afterwards takes as long again."""
        normalised = torch.empty_like(images)
        moments = self.weight.new_empty((2, self.num_features))
        places = normalised.chunk(self.n_groups)
        assert self.momentum is not None
        for part, place in zip(images.chunk(self.n_groups), places, strict=True):
            torch.native_batch_norm(
                part,
                self.weight,
                self.bias,
                self.running_mean,
                self.running_var,
                training=True,
                momentum=self.momentum,
                eps=self.eps,
                out=(place, *moments),
            )
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return normalised

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """Move the running statistics by those of the groups, each of n pixels, in order."""
        assert self.momentum is not None
        kept = 1 - self.momentum
        age = torch.arange(self.n_groups - 1, -1, -1, device=mean.device)
        share = self.momentum * (kept**age)[:, None]
        for running, found in (
            (self.running_mean, mean),
            (self.running_var, variance * (n / (n - 1))),
        ):
            assert running is not None
            running.mul_(kept**self.n_groups).add_((share * found).sum(dim=0))
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(self.n_groups)


def group_batchnorm(network: nn.Module) -> None:
    """Make every BatchNorm of a network one that can be split, its weights left as they are."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                grouped = GroupedBatchNorm2d(child.num_features, child.eps, child.momentum)
                grouped.load_state_dict(child.state_dict())
                grouped.train(child.training).requires_grad_(child.weight.requires_grad)
                setattr(module, name, grouped)


def set_groups(network: nn.Module, n_groups: int) -> None:
    """Say into how many parts batches of a network are cut."""
    for module in network.modules():
        if isinstance(module, GroupedBatchNorm2d):
            module.n_groups = n_groups
