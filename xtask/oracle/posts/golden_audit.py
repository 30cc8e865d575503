"""Makes the golden values of the audit by side: numpy and scipy, from published definitions.

Writes OUT/audit.json; with --check compares OUT/audit.json with what it would write. Where statsmodels
is installed, Holm's correction is checked against it too.

The file holds:
  holm      p-values and what Holm's correction makes of them.
  unseen    posts by author of a side where a rule dropped nothing, error levels, and the largest rate
            under which a beta-binomial model with correlation 0.3 sees nothing that often.
  cases     two sides of authors. An author is a list of [stratum, posts, dropped]. For each case the
            differences overall and like for like (Mantel-Haenszel), and for either the acceleration,
            the first resampled differences, BCa intervals at several confidences as
            scipy.stats.bootstrap computes them from the same resampled differences, the same at
            expanded confidences (Hesterberg 2015) with authors counted by weight (Kish 1965), and
            p-values by turning scipy's one-sided expanded intervals around.

Resamples are drawn as the audit draws them: SplitMix64's output function (Steele, Lea, Flood, OOPSLA
2014) over counters, keyed by seed and name, reduced by multiply-shift (Lemire 2019). Everything else
is scipy's.
"""

import argparse
import json
import math
import pathlib
import sys
import warnings

import numpy as np
from scipy import optimize, stats

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
CORRELATION = 0.3
RESAMPLES = 999
SEED = 7
SIDES = ["left", "right"]


def mix(word):
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def stable_hash(text):
    word = 0xCBF29CE484222325
    for byte in text.encode():
        word = ((word ^ byte) * 0x100000001B3) & MASK
    return mix(word)


def drawn(name, count, bound):
    """`count` numbers below `bound` of the stream called `name`."""
    key = mix((SEED + GOLDEN) & MASK) ^ stable_hash(name)
    words = (mix((key + n * GOLDEN) & MASK) for n in range(1, count + 1))
    return np.array([(word * bound) >> 64 for word in words])


def holm(p_values):
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(len(p_values), 0, -1) * np.asarray(p_values)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def holm_cases():
    cases = [
        [0.01, 0.04, 0.03, 0.005],
        [0.2, 0.0001, 0.9, 0.0001, 0.051],
        [1.0],
        [0.04, 0.04, 0.04],
    ]
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError:
        multipletests = None
    made = []
    for p_values in cases:
        adjusted = holm(p_values)
        if multipletests is not None:
            np.testing.assert_allclose(adjusted, multipletests(p_values, method="holm")[1])
        made.append(dict(p=p_values, adjusted=adjusted.tolist()))
    return made


def unseen_cases():
    k = (1 - CORRELATION) / CORRELATION
    made = []
    for sizes in [[200] * 26, [1] * 100, [5, 900, 17, 17, 3, 60, 2, 44, 8, 120]]:
        for alpha in [0.05, 0.025, 0.001]:

            def surprise(rate):
                log_p = stats.betabinom.logpmf(0, sizes, rate * k, (1 - rate) * k)
                return log_p.sum() - math.log(alpha)

            bound = optimize.brentq(surprise, 1e-12, 1 - 1e-9, xtol=1e-14)
            made.append(dict(sizes=sizes, alpha=alpha, bound=bound))
    return made


def made_up_side(generator, authors, strata, rate, spread):
    """Authors with a taste of their own for what a rule drops, and many more or fewer posts."""
    side = []
    for _ in range(authors):
        taste = generator.beta(rate * spread, (1 - rate) * spread)
        rows = []
        for stratum in range(strata):
            posts = int(generator.poisson(generator.lognormal(1.5, 1.0)))
            if posts:
                lean = min(1.0, taste * (0.6 + 0.4 * stratum))
                rows.append([stratum, posts, int(generator.binomial(posts, lean))])
        side.append(rows or [[0, 1, 0]])
    return side


def dense(side, strata):
    """Posts and drops: [authors, strata, 2]."""
    table = np.zeros((len(side), strata, 2))
    for author, rows in enumerate(side):
        for stratum, posts, dropped in rows:
            table[author, stratum] += [posts, dropped]
    return table


def overall(a, b):
    """Difference of rates, b minus a, from sums [..., strata, 2]."""
    (na, da), (nb, db) = np.moveaxis(a.sum(-2), -1, 0), np.moveaxis(b.sum(-2), -1, 0)
    return db / nb - da / na


def like_for_like(a, b):
    """Mantel-Haenszel risk difference (Greenland and Robins 1985), strata of one side left out."""
    na, da, nb, db = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    both = (na > 0) & (nb > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(both, db / nb - da / na, 0.0)
        weight = np.where(both, na * nb / (na + nb), 0.0)
    return (weight * difference).sum(-1) / weight.sum(-1)


def contrast_case(tables, resampled, contrast):
    """scipy's answers for one difference, given the resampled sums of both sides."""
    distribution = contrast(*resampled)
    indices = [np.arange(len(table)) for table in tables]

    def statistic(i, j, axis=-1):
        # [..., authors] of indices to sums [..., strata, 2].
        return contrast(tables[0][i].sum(-3), tables[1][j].sum(-3))

    previous = stats.bootstrap(indices, statistic, n_resamples=2, method="percentile",
                               rng=np.random.default_rng(0))
    previous.bootstrap_distribution = distribution

    def scipy_interval(confidence, alternative="two-sided"):
        result = stats.bootstrap(indices, statistic, n_resamples=0, bootstrap_result=previous,
                                 confidence_level=confidence, method="BCa", alternative=alternative)
        return [float(result.confidence_interval.low), float(result.confidence_interval.high)]

    influences = []
    for side, table in enumerate(tables):
        total = [t.sum(0) for t in tables]
        left_out = []
        for author in range(len(table)):
            sums = list(total)
            sums[side] = sums[side] - table[author]
            left_out.append(contrast(*sums))
        left_out = np.array(left_out)
        influences.append((len(table) - 1) * (left_out.mean() - left_out) / len(table))
    everything = np.concatenate(influences)
    observed = float(contrast(tables[0].sum(0), tables[1].sum(0)))

    # Hesterberg's expansion: scipy is asked for the confidence whose normal quantile is the expanded one.
    variance = np.array([(influence**2).sum() for influence in influences])
    posts = [table[..., 0].sum(-1) for table in tables]
    effective = np.array([n.sum() ** 2 / (n**2).sum() for n in posts])
    freedom = variance.sum() ** 2 / (variance**2 / (effective - 1)).sum()
    factor = math.sqrt((variance * effective / (effective - 1)).sum() / variance.sum())

    def further_out(alpha):
        return stats.norm.cdf(factor * stats.t.ppf(alpha, freedom))

    def least_alpha(excluded):
        low, high = -6.0, 6.0
        for _ in range(26):
            z = (low + high) / 2
            low, high = (low, z) if excluded(further_out(stats.norm.cdf(z))) else (z, high)
        return float(max(stats.norm.cdf(high), 1 / (RESAMPLES + 1)))

    # scipy's one-sided intervals are open at one end: "greater" has a lower bound.
    at_most = lambda value: least_alpha(lambda a: scipy_interval(1 - a, "greater")[0] > value)
    at_least = lambda value: least_alpha(lambda a: scipy_interval(1 - a, "less")[1] < value)
    margin = 0.05
    return dict(
        observed=observed,
        acceleration=float((everything**3).sum() / (6 * (everything**2).sum() ** 1.5)),
        resampled=distribution[:10].tolist(),
        intervals=[[c, *scipy_interval(c)] for c in [0.5, 0.9, 0.95, 0.99]],
        expanded=[[c, *scipy_interval(1 - 2 * further_out((1 - c) / 2))] for c in [0.9, 0.95, 0.99]],
        p_of_none=min(1.0, 2 * min(at_most(0.0), at_least(0.0))),
        margin=margin,
        p_outside=max(at_most(-margin), at_least(margin)),
    )


def cases():
    made = []
    for index, (authors, strata, rates) in enumerate(
            [([30, 25], 3, [0.30, 0.42]), ([40, 60], 2, [0.05, 0.05]), ([12, 15], 1, [0.5, 0.2])]):
        generator = np.random.default_rng(index)
        sides = [made_up_side(generator, count, strata, rate, 6.0)
                 for count, rate in zip(authors, rates)]
        tables = [dense(side, strata) for side in sides]
        resampled = []
        for name, table in zip(SIDES, tables):
            picks = [drawn(f"audit/{name}/{number}", len(table), len(table))
                     for number in range(RESAMPLES)]
            resampled.append(np.array([table[pick].sum(0) for pick in picks]))
        made.append(dict(
            sides=sides,
            strata=strata,
            overall=contrast_case(tables, resampled, overall),
            like_for_like=contrast_case(tables, resampled, like_for_like),
        ))
    return made


def close(a, b, path="audit"):
    """Whether two JSON values agree, numbers within 1e-9; names the first place they do not."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return all(close(a[key], b[key], f"{path}.{key}") for key in a)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return all(close(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b)))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and math.isclose(
            a, b, rel_tol=1e-9, abs_tol=1e-9):
        return True
    if a == b:
        return True
    print(f"{path}: {a} in the file, {b} now", file=sys.stderr)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    # Past the pole of the adjustment scipy has no bound; such levels are passed on the way to p-values.
    warnings.simplefilter("ignore")
    golden = dict(seed=SEED, resamples=RESAMPLES, sides=SIDES, correlation=CORRELATION,
                  holm=holm_cases(), unseen=unseen_cases(), cases=cases())
    path = arguments.out / "audit.json"
    if arguments.check:
        if not close(json.loads(path.read_text()), json.loads(json.dumps(golden))):
            sys.exit(f"{path} is not what {pathlib.Path(__file__).name} makes")
        print(f"{path} is what scipy gives")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden) + "\n")
    print(path)


if __name__ == "__main__":
    main()
