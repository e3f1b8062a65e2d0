"""BG/NBD and Gamma-Gamma give the published numbers, and what a slow integral gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, gamma

from training.floors.bg_nbd import BgNbd, Purchases
from training.floors.gamma_gamma import GammaGamma

CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""Fader, Hardie and Lee (2005), table 2: 2,357 customers of CDNOW, in weeks."""


def one(repeats: float, last: float, age: float) -> Purchases:
    return Purchases(*(np.array([value]) for value in (repeats, last, age)))


def simulated(model: BgNbd, num: int, age: float, ahead: float, seed: int = 0):
    """Purchases of `num` shoppers up to `age`, and how many came within `ahead` after it."""
    rng = np.random.default_rng(seed)
    rate, drops = rng.gamma(model.r, 1 / model.alpha, num), rng.beta(model.a, model.b, num)
    repeats, last, later = np.zeros(num), np.zeros(num), np.zeros(num)
    for shopper in range(num):
        at = rng.exponential(1 / rate[shopper])
        while at < age + ahead:
            if at < age:
                repeats[shopper], last[shopper] = repeats[shopper] + 1, at
            else:
                later[shopper] += 1
            if rng.random() < drops[shopper]:
                break
            at += rng.exponential(1 / rate[shopper])
    return Purchases(repeats, last, np.full(num, age)), later


def test_the_papers_example_shopper_is_expected_to_buy_as_the_paper_says():
    assert CDNOW.expected(one(2, 30.43, 38.86), 39)[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize("seen", [(0, 0.0, 20.0), (1, 3.0, 30.0), (4, 28.0, 30.0)])
def test_the_chance_of_silence_is_the_integral_over_rates_and_drop_outs(seen):
    x, last, age = seen
    model, ahead = BgNbd(r=1.3, alpha=9.0, a=1.4, b=3.1), 12.0

    share = (np.arange(1_500) + 0.5) / 1_500
    rate = gamma.ppf(share, model.r, scale=1 / model.alpha)[:, None]
    drop = beta.ppf(share, model.a, model.b)

    def over_shoppers(silent: float) -> float:
        alive = (1 - drop) ** x * rate**x * np.exp(-rate * (age + silent))
        left = drop * (1 - drop) ** (x - 1) * rate**x * np.exp(-rate * last) if x else 0.0
        return float(np.mean(alive + left))

    assert np.exp(model.log_likelihood(one(*seen)))[0] == pytest.approx(over_shoppers(0), rel=1e-3)
    expected = over_shoppers(ahead) / over_shoppers(0)
    assert model.none_within(one(*seen), ahead)[0] == pytest.approx(expected, rel=1e-3)


def test_what_is_fitted_tells_the_future_of_shoppers_who_live_by_the_model():
    seen, later = simulated(BgNbd(r=0.8, alpha=6.0, a=0.7, b=2.5), 4_000, age=52.0, ahead=20.0)
    model = BgNbd.fit(seen)
    assert model.r == pytest.approx(0.8, rel=0.2)
    assert model.alpha == pytest.approx(6.0, rel=0.25)
    silent = model.none_within(seen, 20.0)
    for part in np.array_split(np.argsort(silent), 5):
        assert silent[part].mean() == pytest.approx((later[part] == 0).mean(), abs=0.04)
    assert model.expected(seen, 20.0).mean() == pytest.approx(later.mean(), rel=0.1)


def test_silence_ends_for_certain_neither_at_once_nor_ever_for_who_may_have_left():
    seen = one(3, 5.0, 40.0)
    assert CDNOW.none_within(seen, 0.0)[0] == pytest.approx(1.0)
    assert CDNOW.none_within(seen, 1e9)[0] == pytest.approx(1 - CDNOW.alive(seen)[0], abs=0.02)


def test_worth_is_the_posterior_mean_of_a_slow_integral():
    model, number, mean = GammaGamma(p=6.25, q=3.74, v=15.44), 3.0, 35.0

    def weight(nu: float) -> float:
        likely = gamma.pdf(mean, model.p * number, scale=1 / (number * nu))
        return likely * gamma.pdf(nu, model.q, scale=1 / model.v)

    total = quad(weight, 0, 10)[0]
    expected = quad(lambda nu: weight(nu) * model.p / nu, 0, 10)[0] / total
    told = np.array([number]), np.array([mean])
    assert model.expected(*told)[0] == pytest.approx(expected, rel=1e-6)
    assert np.exp(model.log_likelihood(*told))[0] == pytest.approx(total, rel=1e-6)


def test_worth_is_found_again_in_purchases_drawn_from_the_model():
    rng = np.random.default_rng(2)
    number = rng.integers(1, 12, 4_000).astype(float)
    nu = rng.gamma(3.5, 1 / 60.0, len(number))
    mean = rng.gamma(2.0 * number, 1 / (number * nu))
    model = GammaGamma.fit(number, mean)
    assert (model.p, model.q, model.v) == pytest.approx((2.0, 3.5, 60.0), rel=0.2)
    few = model.expected(np.array([1.0, 50.0]), np.array([300.0, 300.0]))
    everybody = model.p * model.v / (model.q - 1)
    assert everybody < few[0] < few[1] < 300.0
