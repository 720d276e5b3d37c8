"""One optimisation step: draw, compare, go back, move."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from veduta.core import Edit, Gaussians, Render
from veduta.fit import optimizer
from veduta.fit.checkpoint import Progress
from veduta.fit.densify import Moment, started
from veduta.fit.exposure import distance_from_identity, exposed
from veduta.fit.job import Job
from veduta.fit.loss import depth_loss
from veduta.fit.placing import place
from veduta.fit.plan import exponential
from veduta.fit.views import Target
from veduta.measure import photometric_loss


@dataclass(frozen=True, eq=False)
class StepResult:
    """What a step saw; tensors, so that nothing is computed that nobody asks for."""

    loss: Float[Tensor, ""]
    color: Float[Tensor, "h w 3"]
    """The picture before the step, with its exposure."""
    target: Target
    edit: Edit | None
    """The change of topology after the step."""
    before: int
    """Gaussians before the edit."""


def step_(job: Job, progress: Progress) -> StepResult:
    """Make one step; everything in ``progress`` is changed in place."""
    plan, parameters = job.plan, progress.parameters
    parameters.grow_sh_(plan.sh_degree_at(progress.step))
    index = progress.order.next(progress.streams("views"))
    target = job.targets.get(index, plan.downscale_at(progress.step))
    placed = place(parameters, job.motions, float(target.camera.time[0]))
    moment = job.moment(progress.step + 1)
    render = job.backend.rasterize(
        placed.world,
        target.camera,
        background=progress.backdrop.fixed_color(progress.streams("backdrop")),
        options=job.options(keep_screen=plan.densify.observes(moment)),
    )
    texture = progress.backdrop.leaf()
    color = render.color[0]
    if progress.backdrop.learned:
        color = color + (1.0 - render.alpha[0])[..., None] * progress.backdrop.behind(texture, target.camera)
    matrix = None if progress.exposures is None else progress.exposures.leaf(index)
    if matrix is not None:
        color = exposed(color, matrix)
    loss = photometric_loss(color, target.rgb, target.weight, ssim_weight=plan.ssim_weight)
    total = loss + _extra_losses(job, render, target, matrix)
    if total.requires_grad:
        total.backward()
    progress.step += 1
    if render.screen is not None and total.requires_grad:
        plan.densify.observe(
            progress.statistics, render.screen, moment, width=target.camera.width, height=target.camera.height
        )
    _move(job, progress, placed.gradients(), placed.world)
    if texture.grad is not None:
        progress.backdrop.step_(texture.grad, adam=plan.adam, step=progress.step)
    if matrix is not None and matrix.grad is not None and progress.exposures is not None:
        rate = exponential(plan.exposure.rate, plan.exposure.rate_final, at=progress.step - 1, steps=plan.steps)
        progress.exposures.step_(index, matrix.grad, rate=rate, adam=plan.adam)
    before = len(parameters)
    edit = _change_topology(job, progress, moment)
    return StepResult(loss=loss.detach(), color=color.detach(), target=target, edit=edit, before=before)


def _extra_losses(job: Job, render: Render, target: Target, matrix: Tensor | None) -> Tensor | float:
    """What the plan asks for besides the photograph; 0 where that is nothing."""
    extra: Tensor | float = 0.0
    if target.depth is not None and job.plan.depth_weight > 0.0:
        extra = extra + job.plan.depth_weight * depth_loss(render, target.depth)
    if matrix is not None:
        extra = extra + job.plan.exposure.identity_weight * distance_from_identity(matrix)
    return extra


def _move(job: Job, progress: Progress, gradients: dict[str, Tensor], leaves: Gaussians) -> None:
    """Regularise, and move the Gaussians; the regularisers' gradients are constants and need no graph."""
    plan, parameters = job.plan, progress.parameters
    count = max(1, len(parameters))
    if plan.densify.opacity_reg > 0.0:
        gradients["opacities"] += plan.densify.opacity_reg / count
    if plan.densify.scale_reg > 0.0:
        gradients["scales"] += plan.densify.scale_reg / (3 * count)
    optimizer.step_(
        parameters,
        parameters.raw_gradients(leaves, gradients),
        rates=plan.rates,
        means_rate=job.means_rate(progress.step - 1),
        adam=plan.adam,
        step=progress.step,
    )


def _change_topology(job: Job, progress: Progress, moment: Moment) -> Edit | None:
    """Let the strategy edit and stir the Gaussians."""
    parameters, strategy = progress.parameters, job.plan.densify
    generator = progress.streams("densify", parameters.device)
    edit = None
    if strategy.due(moment):
        edit = strategy.propose(progress.statistics, parameters.gaussians(), moment, generator=generator)
    if edit is not None:
        parameters.apply_edit_(edit)
        progress.statistics = started(strategy, len(parameters), parameters.device)
    if strategy.drifts:
        rows, offsets = strategy.drift(parameters.gaussians(), moment, generator=generator)
        parameters.columns["means"].raw[rows] += offsets
    return edit
