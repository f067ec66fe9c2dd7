"""Every law: its derivatives, and what was published of it, to the digits that were published."""

import numpy as np
import pytest
from law_data import column, rows

from hornet_jax.errors import InputError
from hornet_jax.laws import LAWS, LOG_SQUARES, SQUARES, Criterion, fit, get_law, make_points
from hornet_jax.laws.error_rate import ErrorRate, fit_error_rate
from hornet_jax.laws.released import fit_as_released

# Test loss of four-digit addition over the number of training examples, as arXiv 2210.14891's
# release prints them.
ADDITION = np.array(
  [
    *([160, 2.13809046], [192, 2.11813418], [256, 2.08955508], [320, 2.06988398]),
    *([384, 2.05404987], [448, 2.03837089], [480, 2.02814281], [512, 2.00496872]),
    *([544, 1.95576149], [576, 1.86313841], [608, 1.70891537], [640, 1.50637664]),
    *([672, 1.29754721], [736, 0.96559684], [800, 0.75856477], [864, 0.64768338]),
    [928, 0.55695445],
  ]
).T
BREAK = np.array([0.41388, 2.27727, 0.05508, 5.66290, 612.584, 0.05919])
CURVES = ("6Enc6Dec", "28Enc6Dec", "6Enc28Dec", "DecOnly", "TEncLSTM")
# Errors of the logarithm of the last loss of each curve.
M1 = (0.2619, 0.1709, 0.2340, 0.2520, 0.1899)
M2 = (0.0385, 0.0564, 0.0527, 0.0103, 0.0126)
M4 = (0.0205, 0.0181, 0.0445, 0.0084, 0.0126)
BNSL = (0.0007, 0.0171, 0.0193, 0.0034, 0.0120)


def log_error(law, theta, points):
  predicted = law.predict(theta, points.axes(law.axes))
  return np.log(predicted / points.losses)


def curve(model):
  """The points of a translation curve to fit to, and the one to predict."""
  table = rows("nmt", model=model)
  points = make_points(scale=column(table, "seen"), loss=column(table, "loss"))
  is_trained = column(table, "train") == 1
  return points.take(is_trained), points.take(~is_trained)


@pytest.mark.parametrize("law", [*LAWS.values(), ErrorRate()], ids=lambda law: law.name)
def test_slopes_are_the_derivatives(law):
  rng = np.random.default_rng(0)
  x = np.exp(rng.uniform(0, 5, (len(law.axes), 9)))
  theta = law.starts(rng, 4, x, np.exp(0.1 * rng.normal(size=9)))
  theta = np.where(law.is_positive(), np.maximum(theta, 0.01), theta)
  value, slopes = law.value_and_slopes(theta, x)
  assert value.shape == (len(theta), 9)
  steps = 1e-6 * np.eye(theta.shape[1])
  expected = [(law.predict(theta + s, x) - law.predict(theta - s, x)) / 2e-6 for s in steps]
  np.testing.assert_allclose(slopes, np.stack(expected, -1), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["m2", "m3", "m4", "saturating"])
def test_a_law_without_noise_is_found_again(name):
  law = get_law(name)
  truth = {
    "m2": [0.3, 40.0, -0.4],
    "m3": [40.0, -0.4, 1e-5],
    "m4": [0.3, 1.2, 0.6, 300.0, -0.5],
    "saturating": [0.3, 40.0, 0.4, 2e3],
  }[name]
  x = np.geomspace(1e3, 1e6, 14)
  points = make_points(scale=x, loss=law.predict(np.array(truth), x[None]))
  np.testing.assert_allclose(fit(law, points, LOG_SQUARES).theta, truth, rtol=1e-4)


def test_m4_solves_its_equation():
  e_inf, e_0, alpha, b, c = theta = np.array([0.2, 1.1, 0.7, 50.0, -0.5])
  x = np.geomspace(1, 1e8, 30)
  y = get_law("m4").predict(theta, x[None])
  np.testing.assert_allclose((y - e_inf) / (e_0 - y) ** alpha, b * x**c, rtol=1e-9)


def test_a_broken_law_of_published_points():
  law, (x, y) = get_law("bnsl"), ADDITION
  points = make_points(scale=x, loss=y)
  seen = points.take(np.arange(14))
  found = fit(law, seen, Criterion(log=True, offset=1.0))
  np.testing.assert_allclose(found.theta, BREAK, rtol=1e-3)
  error = log_error(law, found.theta, points)
  assert np.sqrt((error[:14] ** 2).mean()) == pytest.approx(0.000598, abs=1e-5)
  assert np.sqrt((error[14:] ** 2).mean()) == pytest.approx(0.0109, abs=3e-4)


def test_a_broken_law_without_noise_is_known_before_its_break():
  law = get_law("bnsl")
  x = np.arange(1.0, 4096)
  points = make_points(scale=x, loss=law.predict(BREAK, x[None]))
  seen = points.take(x <= 404)
  assert seen.values["scale"].max() < BREAK[4]
  found = fit(law, seen, LOG_SQUARES, starts=64)
  assert np.sqrt((log_error(law, found.theta, points.take(x > 404)) ** 2).mean()) < 1e-4


def test_two_breaks_fit_what_one_does_not():
  law = get_law("bnsl2")
  truth = np.array([0.2, 3.0, 0.05, 0.4, 1e3, 0.1, -0.3, 1e5, 0.1])
  x = np.geomspace(10, 1e7, 60)
  points = make_points(scale=x, loss=law.predict(truth, x[None]))
  one, two = (fit(get_law(name), points, LOG_SQUARES) for name in ("bnsl", "bnsl2"))
  assert two.objective < 1e-3 * one.objective


@pytest.mark.parametrize(("model", "m1", "bnsl"), [*zip(CURVES, M1, BNSL, strict=True)])
def test_published_errors_of_translation_curves(model, m1, bnsl):
  seen, last = curve(model)
  for name, expected, tolerance in (("m1", m1, 2e-4), ("bnsl", bnsl, 5e-3)):
    found = fit(get_law(name), seen, LOG_SQUARES)
    assert abs(log_error(found.law, found.theta, last)[0]) == pytest.approx(expected, abs=tolerance)


def check_released(model):
  seen, last = curve(model)
  for name, errors in (("m2", M2), ("m4", M4)):
    theta = fit_as_released(name, seen.values["scale"], seen.losses)
    error = abs(log_error(get_law(name), theta, last)[0])
    assert error == pytest.approx(errors[CURVES.index(model)], abs=1e-4)


def test_m2_and_m4_as_they_were_released():
  check_released("DecOnly")


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(set(CURVES) - {"DecOnly"}))
def test_m2_and_m4_of_all_curves_as_they_were_released(model):
  check_released(model)


def test_the_released_scheme_needs_losses_that_it_can_start_at():
  x = np.geomspace(1e3, 1e6, 8)
  theta = fit_as_released("m2", x, 1.5 + 40 * x**-0.4)  # which are not error rates
  assert 1.4 < theta[0] < 1.7
  with pytest.raises(InputError, match=r"losses above 0\.001 and below 1, .* got 1\.659 to 4\.024"):
    fit_as_released("m4", x, 1.5 + 40 * x**-0.4)


def test_only_m2_and_m4_have_a_released_scheme():
  with pytest.raises(InputError, match=r"unknown law with a released scheme 'm3'.*m2, m4"):
    fit_as_released("m3", np.ones(3), np.ones(3))


def overtraining_runs(dataset):
  """The five small runs that the law was fitted to, and the larger ones, by (model, ratio)."""
  table = rows("gadre2024_overtraining", dataset=dataset)
  small = [r for r in table if "open_lm" not in r["model"] and float(r["tok_mult"]) == 20]
  small += [r for r in table if r["model"] == "d=96_l=8_h=4" and float(r["tok_mult"]) == 320]
  large = [r for r in table if "open_lm" in r["model"]]
  return small, large


def as_points(table):
  return make_points(
    size=column(table, "N"),
    data=column(table, "D"),
    loss=column(table, "loss_c4_val"),
    error=column(table, "err_17"),
  )


@pytest.mark.parametrize(
  ("dataset", "parameters"),
  [
    ("c4_original", [1.50826, 113.693, 189.516, -0.242472]),
    ("rpj", [1.83665, 166.211, 366.687, -0.272851]),
    ("rw_original", [1.73446, 125.096, 246.207, -0.254395]),
  ],
)
def test_published_over_training(dataset, parameters):
  small, _ = overtraining_runs(dataset)
  found = fit(get_law("overtraining"), as_points(small), SQUARES)
  np.testing.assert_allclose(found.theta, parameters, rtol=1e-3)


def test_published_extrapolations_of_loss_and_error_rate():
  """To 1.4 billion parameters at 640 tokens for each, and to 6.9 billion at 20."""
  small, large = overtraining_runs("rpj")
  found = fit(get_law("overtraining"), as_points(small), SQUARES)
  is_seen = [r["model"] == "open_lm_1b" and float(r["tok_mult"]) == 20 for r in large]
  [also] = [r for r, seen in zip(large, is_seen, strict=True) if seen]
  ahead = as_points([r for r, seen in zip(large, is_seen, strict=True) if not seen])
  losses = found.predict(ahead.axes(("size", "data")))
  np.testing.assert_allclose(100 * np.abs(losses / ahead.losses - 1), [0.7103, 0.7320], atol=1e-3)
  by_loss = fit_error_rate(as_points([*small, also]))
  errors = by_loss.predict(losses[None])
  np.testing.assert_allclose(
    100 * np.abs(errors / ahead.values["error"] - 1), [3.6365, 0.0464], atol=1e-3
  )
