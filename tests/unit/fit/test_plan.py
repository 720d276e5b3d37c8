"""Plans: schedules stretch with the run, and survive run.json."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from veduta.core import InputError
from veduta.fit import Adaptive, FitPlan, Fixed, LearningRates, Mcmc, config_from_plan, plan_from_config
from veduta.fit.config import differences
from veduta.fit.densify import DENSIFIERS, Moment


def moment(step: int, *, steps: int = 7000, **changes: object) -> Moment:
    known = {"extent": 1.0, "max_gaussians": 1000, "means_rate": 1e-4}
    return Moment(step=step, steps=steps, schedule_scale=steps / 7000, **(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [2000, 7000, 30_000])
def test_schedules_depend_only_on_the_share_of_the_run(steps: int) -> None:
    plan, long = FitPlan(steps=steps), FitPlan(steps=70_000)
    for share in (0.0, 0.14, 0.16, 0.39, 0.41, 0.999):
        here, there = int(share * steps), int(share * 70_000)
        assert plan.downscale_at(here) == long.downscale_at(there)
        assert abs(plan.sh_degree_at(here) - long.sh_degree_at(there)) <= 1
        assert plan.means_rate_at(here) == pytest.approx(long.means_rate_at(there), rel=0.01)


def test_picture_size_doubles_where_the_plan_says() -> None:
    plan = FitPlan(steps=1000, doublings=(0.1, 0.5))
    assert [plan.downscale_at(s) for s in (0, 99, 100, 499, 500, 999)] == [4, 4, 2, 2, 1, 1]
    assert FitPlan(doublings=()).downscale_at(0) == 1


def test_means_rate_goes_from_first_to_last_by_equal_factors() -> None:
    plan = FitPlan(steps=100, rates=LearningRates(means=1e-2, means_final=1e-4))
    rates = [plan.means_rate_at(s) for s in (0, 50, 100)]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4])


def test_densification_happens_as_often_in_every_run_length() -> None:
    for strategy in (Adaptive(), Mcmc()):
        times = [sum(strategy.due(moment(s, steps=n)) for s in range(1, n + 1)) for n in (2000, 7000, 30_000)]
        assert max(times) - min(times) <= 0.12 * max(times)
        assert times[1] > 10


@pytest.mark.parametrize("kind", list(DENSIFIERS))
def test_a_plan_survives_json(kind: str) -> None:
    plan = FitPlan(steps=123, doublings=(0.5,), densify=DENSIFIERS[kind](), rates=LearningRates(sh0=1e-3))  # type: ignore[arg-type]
    again = plan_from_config(json.loads(json.dumps(config_from_plan(plan))))
    assert again == plan
    assert differences(plan, json.loads(json.dumps(config_from_plan(again)))) == []


def test_differences_name_the_setting_but_not_those_without_effect() -> None:
    plan = FitPlan()
    other = replace(plan, densify=Fixed(), log_every=7)
    assert "densify.kind" in differences(plan, config_from_plan(other))
    assert differences(plan, config_from_plan(replace(plan, log_every=7))) == []
    nested = replace(plan, rates=LearningRates(quats=1.0))
    assert differences(plan, config_from_plan(nested)) == ["rates.quats"]


def test_a_plan_stored_before_there_was_a_setting_had_its_default() -> None:
    stored = config_from_plan(FitPlan())
    del stored["sh_degree_every"], stored["rates"]["quats"]
    assert differences(FitPlan(), stored) == []
    assert differences(replace(FitPlan(), sh_degree_every=7), stored) == ["sh_degree_every"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"stepz": 3}, "stepz"),
        ({"rates": {"meanz": 3.0}}, "rates.meanz"),
        ({"rates": 3}, "rates."),
        ({"steps": "many"}, "steps"),
        ({"steps": True}, "steps"),
        ({"backdrop": {"kind": "green"}}, "backdrop.kind"),
        ({"densify": {"kind": "magic"}}, "densify.kind"),
        ({"densify": {"kind": "mcmc", "cap": 3}}, "densify.cap"),
        ({"densify": None}, "densify.kind"),
    ],
)
def test_a_foreign_config_is_refused_by_the_path_of_the_setting(config: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_from_config(config, where="run.json")
    assert caught.value.field == field
    assert caught.value.where == "run.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": -1},
        {"max_gaussians": 0},
        {"sh_degree": 4},
        {"ssim_weight": 1.5},
        {"ssim_weight": float("nan")},
        {"doublings": (0.1, 1.2)},
        {"log_every": 0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        FitPlan(**changes)  # type: ignore[arg-type]
    assert caught.value.field == next(iter(changes))
