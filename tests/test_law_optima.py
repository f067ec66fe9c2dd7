"""Optima: by parabolas with their known error, by the law, and along published frontiers."""

import numpy as np
import pytest
from law_data import PLANTED, column, planted, rows

from hornet_jax.errors import InputError
from hornet_jax.laws import SQUARES, bootstrap, fit, get_law, make_points
from hornet_jax.laws.accounting import complete, power_cost, six_n_d
from hornet_jax.laws.figures import draw_fit, draw_frontier, draw_isoflop, draw_optimum
from hornet_jax.laws.isoflop import fit_parabolas, fit_power_line, frontier, local_exponents
from hornet_jax.laws.optimum import best_split

LAW = get_law("chinchilla")
HOFFMANN = np.array([1.69, 406.4, 410.7, 0.34, 0.28])


def closed_form(theta, compute):
  """The best size where C = 6 N D."""
  _, a, b, alpha, beta = theta
  factor = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
  return factor * (compute / 6) ** (beta / (alpha + beta))


def isoflop_study(factor):
  """Runs of five budgets at sixteen sizes around the best one, without noise."""
  compute = np.repeat(np.geomspace(1e17, 1e21, 5), 16)
  size = closed_form(HOFFMANN, compute) * np.tile(np.geomspace(1 / factor, factor, 16), 5)
  data = compute / 6 / size
  losses = LAW.predict(HOFFMANN, np.stack([size, data]))
  return complete(make_points(size=size, data=data, compute=compute, loss=losses), ())


@pytest.mark.parametrize(
  ("factor", "percent"),
  [(2, -0.32), (4, -1.29), (8, -2.88), (16, -5.06), (32, -7.79), (64, -11.02)],
)
def test_parabolas_have_the_right_exponent_and_the_known_error(factor, percent):
  points = isoflop_study(factor)
  found = fit_parabolas(points.values["size"], points.values["compute"], points.losses)
  budgets = np.array([parabola.budget for parabola in found])
  data = np.array([parabola.budget / 6 / parabola.size for parabola in found])
  line = fit_power_line(budgets, data)
  assert line.exponent == pytest.approx(0.548387, abs=1e-6)
  truth = 1e24 / 6 / closed_form(HOFFMANN, 1e24)
  error = 100 * (line(np.array([1e24]))[0] / truth - 1)
  assert error == pytest.approx(percent, abs=0.02)


def test_the_law_itself_has_no_such_error():
  np.testing.assert_allclose(fit(LAW, isoflop_study(16), SQUARES).theta, HOFFMANN, rtol=1e-5)


def test_numeric_optimum_is_the_closed_form():
  compute = np.geomspace(1e17, 1e25, 5)
  found = best_split(LAW, HOFFMANN[None], six_n_d, compute, (1e3, 1e15))
  np.testing.assert_allclose(found.size[0], closed_form(HOFFMANN, compute), rtol=1e-6)
  np.testing.assert_allclose(6 * found.size * found.data, compute[None])


def test_cost_is_what_the_runs_show():
  """Of models whose forward pass grows as N^0.8, three of which are a training step."""
  points = planted(np.random.default_rng(0))
  macs = 900 * points.values["size"] ** 0.8
  compute = 3 * 2 * macs * points.values["data"]
  cost, off = power_cost(make_points(**points.values | {"compute": compute}))
  assert (cost.exponent, cost.factor) == (pytest.approx(0.8), pytest.approx(5400))
  assert off == pytest.approx(1.0)
  budget = np.array([1e18])
  found = best_split(LAW, np.array([[*PLANTED.values()]]), cost, budget, (1e3, 1e12))
  fine = np.geomspace(1e3, 1e12, 100_001)
  losses = LAW.predict(np.array([*PLANTED.values()]), np.stack([fine, budget / cost(fine)]))
  assert found.size[0, 0] == pytest.approx(fine[losses.argmin()], rel=1e-3)
  assert found.loss[0, 0] == pytest.approx(losses.min())


def test_compute_and_data_follow_from_each_other():
  points = complete(make_points(size=[2.0, 3.0], data=[5.0, 7.0], loss=[1, 1]), ("scale",))
  np.testing.assert_allclose(points.values["compute"], [60, 126])
  assert points.names["scale"] == points.names["compute"] == "6 size data"
  back = complete(make_points(size=[2.0, 3.0], compute=[60.0, 126.0], loss=[1, 1]), ("data",))
  np.testing.assert_allclose(back.values["data"], [5, 7])
  with pytest.raises(InputError, match="needs the size of every run: got data, loss, scale"):
    complete(make_points(data=[1.0], loss=[1.0]), ("size", "data"))


# Least squares, and weighed by the deviations of the optima; from Kaplan's set-up to the tuned one.
PORIAN = [(0.8338, 0.8353), (0.7009, 0.7065), (0.6035, 0.6020), (0.5714, 0.5715), (0.4970, 0.4969)]


def test_published_exponents_of_frontiers():
  table = rows("porian2024_optimal_pairs")
  configs = dict.fromkeys(row["config"] for row in table)
  for config, (plain, weighed) in zip(configs, PORIAN, strict=True):
    of = [row for row in table if row["config"] == config and row["n"] and row["n_star_std"]]
    compute, size, deviations = (column(of, name) for name in ("flops", "n", "n_star_std"))
    assert fit_power_line(compute, size).exponent == pytest.approx(plain, abs=1e-4)
    line = fit_power_line(compute, size, deviations)
    assert line.exponent == pytest.approx(weighed, abs=1e-4)


def test_a_power_needs_two_places():
  with pytest.raises(InputError, match="two points or more: got 1"):
    fit_power_line(np.ones(3), np.ones(3))


def test_no_cheaper_run_equals_the_frontier():
  compute = np.array([3.0, 1.0, 2.0, 4.0, 2.0])
  losses = np.array([1.0, 3.0, 2.0, 1.5, 2.5])
  assert frontier(compute, losses).tolist() == [1, 2, 0]


def test_local_exponents_of_a_power_are_its_own():
  scale = np.geomspace(1, 1000, 31)
  places, exponents = local_exponents(scale, 3 * scale**-0.25)
  np.testing.assert_allclose(exponents, 0.25)
  assert (np.diff(np.log(places)) > np.log(2) - 1e-9).all()


def test_a_law_of_one_scale_has_no_best_size():
  with pytest.raises(InputError, match="the best size needs a law of size and data: got m2"):
    best_split(get_law("m2"), np.ones((1, 3)), six_n_d, np.ones(1), (1.0, 2.0))


def test_a_law_of_width_and_depth_is_drawn_beside_its_runs():
  rng = np.random.default_rng(0)
  x = {role: np.exp(rng.uniform(2, 8, 20)) for role in ("width", "depth", "data")}
  law, theta = get_law("width_depth"), np.array([1.0, 5.0, 3.0, 9.0, 0.5, 0.4, 0.3])
  points = make_points(loss=law.predict(theta, np.stack([*x.values()])), **x)
  found = fit(law, points, SQUARES, starts=8)
  np.testing.assert_allclose(found.theta, theta, rtol=1e-3)
  above, below = draw_fit(found, bootstrap(found, 20)).axes
  runs, predicted = (dots.get_offsets() for dots in above.collections)
  np.testing.assert_allclose(runs, predicted, rtol=1e-4)
  assert below.get_xlabel() == "data"


def test_figures_name_the_columns():
  points = isoflop_study(4)
  points = make_points({"size": "params", "data": "images_seen"}, **points.values)
  found = fit(LAW, points, SQUARES)
  samples = bootstrap(found, 20)
  above, below, bar = draw_fit(found, samples).axes
  assert (below.get_xlabel(), bar.get_ylabel()) == ("images_seen", "params")
  assert len(above.lines) == 6
  budgets = np.geomspace(1e17, 1e22, 9)
  split = best_split(LAW, found.theta[None], six_n_d, budgets, (1e3, 1e15))
  parabolas = fit_parabolas(points.values["size"], points.values["compute"], points.losses)
  [axes] = draw_isoflop(points, parabolas).axes
  lowest = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "v"]
  np.testing.assert_allclose(lowest, closed_form(HOFFMANN, np.geomspace(1e17, 1e21, 5)), rtol=0.1)
  left, right = draw_optimum(points, budgets, split, parabolas=parabolas).axes
  assert (left.get_ylabel(), right.get_ylabel()) == ("best params", "best images_seen")
  on_the_line = [line.get_xydata()[0] for line in right.lines if line.get_marker() == "v"]
  for budget, data in on_the_line:
    assert data == pytest.approx(budget / 6 / closed_form(HOFFMANN, budget), rel=0.1)
  [axes] = draw_frontier(points, budgets, split.loss[0]).axes
  assert axes.get_xlabel() == "compute"
