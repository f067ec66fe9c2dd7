"""Fits find published minima, their intervals hold the truth, known failures are named."""

import numpy as np
import pytest
from law_data import PLANTED, chinchilla, column, planted, rows
from scipy import optimize, special

from hornet_jax.errors import InputError
from hornet_jax.laws import (
  HUBER,
  LOG_SQUARES,
  SQUARES,
  Criterion,
  bootstrap,
  evaluate_at,
  fit,
  fit_from,
  get_law,
  make_points,
)
from hornet_jax.laws.accounting import six_n_d
from hornet_jax.laws.doubts import (
  BOUNDARY,
  CORNER,
  EARLY_STOP,
  RISING,
  VALLEY,
  find_doubts,
  find_released_doubts,
)
from hornet_jax.laws.holdout import hold_out_larger, leave_one_size_out
from hornet_jax.laws.optimum import best_split
from hornet_jax.laws.profiles import profile_interval
from hornet_jax.laws.projection import project

LAW = get_law("chinchilla")
TRUTH = np.array([*PLANTED.values()])
# What was published, before and after rounding.
PUBLISHED = np.array(
  [np.exp(0.5267228), np.exp(6.0073404), np.exp(6.0179186), 0.33917084, 0.2849083]
)
ROUNDED = np.array([1.69, 406.4, 410.7, 0.34, 0.28])
GEMSTONES = Criterion(log=True, delta=1e-4)


def gemstones(name):
  table = rows(name)
  names = {"size": "params_active_precise", "data": "tokens", "loss": "final_loss"}
  return make_points(**{role: column(table, name) for role, name in names.items()})


def names(doubts):
  return [doubt.name for doubt in doubts]


@pytest.fixture(scope="module")
def replication():
  return fit(LAW, chinchilla(), HUBER)


def test_minimum_of_the_replication(replication):
  assert replication.objective <= 0.0010184
  e, a, b, alpha, beta = replication.theta
  assert (e, alpha, beta) == (
    pytest.approx(1.81722, abs=2e-3),
    pytest.approx(0.34731, abs=1e-3),
    pytest.approx(0.36717, abs=2e-3),
  )
  assert (a, b) == (pytest.approx(477.8, rel=0.03), pytest.approx(2143, rel=0.05))
  assert beta / (alpha + beta) == pytest.approx(0.5139, abs=2e-3)
  assert replication.near(1e-3).sum() > 100
  assert replication.gradient < 1e-4
  assert find_doubts(replication) == []


def test_minimum_of_all_points():
  found = fit(LAW, chinchilla(245), HUBER)
  assert found.objective == pytest.approx(0.00182601, abs=1e-8)
  np.testing.assert_allclose(found.theta[[0, 1, 3, 4]], [1.8913, 495.7, 0.3493, 0.4530], rtol=0.01)
  assert found.theta[2] == pytest.approx(12846, rel=0.05)


@pytest.mark.parametrize(("at", "objective"), [(PUBLISHED, 0.00123116), (ROUNDED, 0.00412101)])
def test_objective_at_published_parameters(at, objective):
  found = evaluate_at(LAW, chinchilla(), HUBER, at)
  assert found.objective == pytest.approx(objective, abs=1e-7)
  np.testing.assert_allclose(found.theta, at)
  assert names(find_doubts(found)) == [EARLY_STOP]


def test_best_size_of_the_replication(replication):
  found = best_split(LAW, replication.theta[None], six_n_d, np.array([5.76e23, 1e21]), (1e6, 1e13))
  assert found.size[0, 0] == pytest.approx(7.32e10, rel=0.03)
  np.testing.assert_allclose(found.data[0] / found.size[0], [17.9, 21.4], rtol=0.03)


def test_bootstrap_of_the_replication(replication):
  samples = bootstrap(replication, 1000)
  e, a, b, alpha, beta = samples.theta.T
  a_of_size = beta / (alpha + beta)
  errors = [value.std() for value in (alpha, beta, e, a_of_size)]
  np.testing.assert_allclose(errors, [0.0154, 0.0206, 0.0257, 0.0200], rtol=0.15)
  np.testing.assert_allclose([a.std(), b.std()], [116, 1427], rtol=0.25)
  ends = np.quantile([alpha, beta, e, a_of_size], [0.025, 0.975], axis=1)
  expected = [[0.317, 0.332, 1.769, 0.481], [0.371, 0.415, 1.872, 0.557]]
  np.testing.assert_allclose(ends, expected, atol=5e-3)


def test_projected_squares_of_published_points():
  """As two independent programs have them, in millions of parameters and billions of tokens."""
  points = chinchilla()
  points = points.take(points.values["compute"] < 1e21)
  assert len(points) == 217
  points = make_points(
    size=points.values["size"] / 1e6, data=points.values["data"] / 1e9, loss=points.losses
  )
  found = fit(LAW, points, SQUARES)
  np.testing.assert_allclose(
    [*found.theta, found.objective],
    [1.90509, 4.00052, 1.05095, 0.351058, 0.458742, 0.0624143],
    rtol=1e-4,
  )


def test_projection_is_non_negative_least_squares():
  rng = np.random.default_rng(0)
  basis, losses = rng.normal(size=(40, 12, 3)), rng.normal(size=12)
  coefficients, squares = project(basis, losses)
  for of, found, least in zip(basis, coefficients, squares, strict=True):
    expected, norm = optimize.nnls(of, losses)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert least == pytest.approx(norm**2)


@pytest.mark.parametrize("criterion", [SQUARES, LOG_SQUARES, HUBER], ids=repr)
def test_a_planted_law_without_noise_is_found_again(criterion):
  points = planted(np.random.default_rng(0), noise=0.0)
  np.testing.assert_allclose(fit(LAW, points, criterion).theta, TRUTH, rtol=1e-5)


def test_the_scale_of_the_loss_does_not_matter():
  points = planted(np.random.default_rng(0))
  small = make_points(
    size=points.values["size"], data=points.values["data"], loss=1e-6 * points.losses
  )
  one, other = (fit(LAW, some, SQUARES) for some in (points, small))
  np.testing.assert_allclose(other.theta, one.theta * [1e-6, 1e-6, 1e-6, 1, 1], rtol=1e-6)


def test_an_averaged_loss_that_stopped_early_is_named():
  points = chinchilla()
  x = points.axes(LAW.axes)

  def averaged(z):
    predicted = LAW.predict(np.array([*np.exp(z[:3]), *z[3:]]), x)
    return float(HUBER.objective(HUBER.residuals(predicted, points.losses))) / len(points)

  stopped = optimize.minimize(averaged, [1, 10, 10, 1, 1], method="L-BFGS-B")
  assert stopped.success
  found = evaluate_at(LAW, points, HUBER, np.array([*np.exp(stopped.x[:3]), *stopped.x[3:]]))
  assert found.objective == pytest.approx(0.0210, abs=1e-4)
  [doubt] = find_doubts(found)
  assert doubt.name == EARLY_STOP
  assert "from 0.0210241 to 0.001018" in doubt.text


@pytest.mark.parametrize(
  ("name", "lowest", "published", "exponent", "text"),
  [
    (
      "gemstones_cool_end",
      *(2.04779e-4, 2.05941e-4, 0.661),
      "within 0.1% of the smallest sum lie alpha from 0.",
    ),
    (
      "gemstones_slim_chinchilla",
      *(1.30364e-5, 1.33978e-5, 0.722),
      "3 minima lie within 1.0% of the smallest sum",
    ),
  ],
)
def test_a_flat_valley_is_named(name, lowest, published, exponent, text):
  """And the sum there is below that of the published parameters, whose search stopped early."""
  found = fit(LAW, gemstones(name), GEMSTONES)
  assert found.objective <= lowest * 1.0001 < published
  _, _, _, alpha, beta = found.theta
  assert beta / (alpha + beta) == pytest.approx(exponent, abs=5e-4)
  [doubt] = find_doubts(found)
  assert doubt.name == VALLEY
  assert text in doubt.text


def test_the_sum_is_that_of_the_published_fits():
  """They add up SciPy's Huber loss of the differences of logarithms; so does ours, anywhere."""
  points = gemstones("gemstones_cool_end")
  for theta in ([1.7, 400.0, 4e5, 0.34, 0.6], [2.1, 210.0, 3.1e6, 0.29, 0.7]):
    e, a, b, alpha, beta = theta
    law = e + a / points.values["size"] ** alpha + b / points.values["data"] ** beta
    expected = special.huber(1e-4, np.log(points.losses) - np.log(law)).sum()
    found = evaluate_at(LAW, points, GEMSTONES, np.array(theta))
    assert found.objective == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_a_floor_that_a_fit_of_width_and_depth_sends_to_zero_is_named():
  """As in a published fit, whose logarithm of E is -155.5."""
  table = rows("gemstones_cool_end")
  columns = {"width": "width", "depth": "depth", "data": "tokens", "loss": "final_loss"}
  points = make_points(**{role: column(table, name) for role, name in columns.items()})
  law = get_law("width_depth")
  found = fit(law, points, GEMSTONES, starts=27)
  assert found.objective <= 1.114178e-4 * 1.0001  # that of 729 starts
  assert found.parameters["E"] < 1e-9
  assert [doubt.text for doubt in find_doubts(found) if doubt.name == BOUNDARY] == [
    f"E = {found.parameters['E']:.3g} is at its bound of 0: no point depends on it."
  ]
  at = np.array([np.exp(-155.5), *found.theta[1:]])
  assert (
    "E = 2.93e-68 is at its bound of 0"
    in find_doubts(evaluate_at(law, points, GEMSTONES, at))[0].text
  )


def test_parameters_at_a_bound_are_named():
  points = planted(np.random.default_rng(0))
  at = np.array([np.exp(-155.5), *TRUTH[1:]])
  doubts = find_doubts(evaluate_at(LAW, points, HUBER, at))
  assert names(doubts) == [EARLY_STOP, BOUNDARY]
  assert "E = 2.93e-68 is at its bound of 0" in doubts[1].text
  constant = evaluate_at(LAW, points, HUBER, np.array([*TRUTH[:3], 1e-4, TRUTH[4]]))
  assert any("alpha = 0.0001 is nearly 0" in doubt.text for doubt in find_doubts(constant))


@pytest.mark.parametrize(
  ("of_size", "text"),
  [
    (lambda n: 0.05 * np.log(n / 1e4), "A = "),  # larger models are worse
    (
      lambda n: 0.3 * (n < 2e4),
      "is so large that its term belongs to the runs of the smallest size",
    ),
  ],
)
def test_a_size_that_does_not_help_is_no_exponent(of_size, text):
  """More is never worse by the law, and the odd exponent is named."""
  size, data = (
    axis.ravel() for axis in np.meshgrid(np.geomspace(1e4, 1e5, 4), np.geomspace(1e4, 1e6, 4))
  )
  loss = 0.2 + 50 / data**0.4 + of_size(size)
  found = fit(LAW, make_points(size=size, data=data, loss=loss), SQUARES)
  assert found.parameters["alpha"] >= 0
  further = found.predict(np.array([[1e6], [1e7]]))[0]
  assert 0 < further <= found.predict(np.array([[1e5], [1e6]]))[0]
  doubts = find_doubts(found)
  assert RISING not in names(doubts)
  assert [doubt.text for doubt in doubts if doubt.name == BOUNDARY and text in doubt.text]
  assert not [
    doubt.text for doubt in doubts if "alpha" in doubt.text and "at its bound" in doubt.text
  ]


def test_a_loss_that_rises_is_named():
  x = np.geomspace(1e3, 1e7, 12)
  found = fit(get_law("power"), make_points(scale=x, loss=0.5 * x**0.1), LOG_SQUARES)
  [doubt] = find_doubts(found)
  assert doubt.name == RISING
  assert "with 2 times the largest scale the law predicts 2.686, more than 2.506" in doubt.text


def test_a_floor_that_the_points_do_not_show_is_named():
  x = np.geomspace(1e3, 1e7, 12)
  found = fit(get_law("m2"), make_points(scale=x, loss=5 * x**-0.2 - 0.02), LOG_SQUARES)
  assert CORNER in names(find_doubts(found))


def test_the_corner_of_the_released_scheme_is_named():
  table = rows("nmt", model="DecOnly", train="1")
  points = make_points(scale=column(table, "seen"), loss=column(table, "loss"))
  where_it_stops = np.array([0.375478134, 13284.8513, -0.764550723])
  [doubt] = find_released_doubts(evaluate_at(get_law("m2"), points, LOG_SQUARES, where_it_stops))
  assert doubt.name == CORNER
  assert "at e_inf = 0" in doubt.text


def test_points_of_one_run_are_drawn_together():
  points = planted(np.random.default_rng(0))
  doubled = points.take(np.repeat(np.arange(len(points)), 3))
  alone = make_points(**doubled.values)
  found = fit(LAW, points, SQUARES)
  one, together, apart = (
    bootstrap(fit_from(LAW, some, SQUARES, found.theta), 400).theta[:, 3].std()
    for some in (points, doubled, alone)
  )
  assert together == pytest.approx(one)
  assert apart < 0.75 * one


def test_hold_outs_see_only_what_they_may():
  points = planted(np.random.default_rng(0))
  held = hold_out_larger(LAW, points, SQUARES, "compute", 3e16)
  assert (held.fit.points.values["compute"] < 3e16).all()
  assert (held.held.values["compute"] >= 3e16).all()
  assert len(held.held) + len(held.fit.points) == len(points)
  assert 0.002 < held.rmse < 0.02
  left = leave_one_size_out(LAW, points, SQUARES, "size")
  assert [len(np.unique(one.held.values["size"])) for one in left] == [1] * 7


def coverage(criterion, studies, samples):
  """How often intervals hold E, alpha, beta, the law ahead, a run there, and E by its profile."""
  rng = np.random.default_rng(0)
  ahead = np.array([[1e8], [4e9]])
  loss = LAW.predict(TRUTH, ahead)[0]
  hits = []
  for study in range(studies):
    found = fit_from(LAW, planted(rng), criterion, TRUTH)
    some = bootstrap(found, samples, seed=study)
    values = [some.theta[:, [0, 3, 4]], some.predict(ahead), some.predict_run(ahead)]
    of_fit = [found.theta[[0, 3, 4]], found.predict(ahead), found.predict(ahead)]
    low, high = some.interval(np.concatenate(values, axis=1), np.concatenate(of_fit))
    truth = np.array([*TRUTH[[0, 3, 4]], loss, loss * np.exp(0.005 * rng.normal())])
    e_low, e_high = profile_interval(found, "E", 0.95)
    hits.append([*((low <= truth) & (truth <= high)), e_low <= TRUTH[0] <= e_high])
  return np.mean(hits, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [SQUARES, LOG_SQUARES, HUBER], ids=repr)
def test_intervals_hold_the_truth_as_often_as_they_say(criterion):
  shares = coverage(criterion, studies=200, samples=400)
  assert ((shares >= 0.90) & (shares <= 0.98)).all(), shares


@pytest.mark.parametrize(
  ("points", "message"),
  [
    (
      make_points(size=[1, 2], data=[1, 2], loss=[3, 2]),
      "5 parameters and needs as many points: got 2 points",
    ),
    (
      make_points(size=[5] * 6, data=[1, 2, 3, 4, 5, 6], loss=[1] * 6),
      "several values of size: got 5 in all 6",
    ),
  ],
)
def test_points_that_determine_nothing_are_refused(points, message):
  with pytest.raises(InputError, match=message):
    fit(LAW, points, SQUARES)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"size": [1, 2]}, "points must have a `loss`: got size"),
    ({"size": [1, 2], "loss": [1]}, r"`size` must be .* expected shape \(1,\), got \(2,\)"),
    ({"size": [1, 2], "loss": [1, np.nan]}, "loss must hold positive numbers: got nan"),
    ({"size": [1, 1e99], "loss": [1, 2]}, "size must hold numbers from .* got 1e[+]99"),
  ],
)
def test_arrays_that_are_no_points_are_refused(arrays, message):
  with pytest.raises(InputError, match=message):
    make_points(**arrays)


def test_a_delta_must_be_positive():
  with pytest.raises(InputError, match="`delta` must be a positive number: got -1"):
    Criterion(log=True, delta=-1.0)
