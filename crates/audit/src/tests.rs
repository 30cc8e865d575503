//! The statistics against witnesses: golden values by scipy, closed forms, and simulations whose truth
//! is known.

use proptest::prelude::*;
use serde::Deserialize;

use super::bootstrap::{Contrast, Layout, Plan, resample};
use super::interval::{Bounds, Expansion, UnseenRate};
use super::tally::SideCounts;
use super::*;
use stoa_random::Draws;

/// Parsed by xtask/oracle/posts/golden_audit.py.
#[derive(Deserialize)]
struct Golden {
    seed: u64,
    resamples: usize,
    sides: [String; 2],
    holm: Vec<GoldenHolm>,
    unseen: Vec<GoldenUnseen>,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenHolm {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenUnseen {
    sizes: Vec<u64>,
    alpha: f64,
    bound: f64,
}

#[derive(Deserialize)]
struct GoldenCase {
    sides: [Vec<Vec<[u64; 3]>>; 2],
    strata: usize,
    overall: GoldenContrast,
    like_for_like: GoldenContrast,
}

#[derive(Deserialize)]
struct GoldenContrast {
    observed: f64,
    acceleration: f64,
    resampled: Vec<f64>,
    intervals: Vec<[f64; 3]>,
    expanded: Vec<[f64; 3]>,
    p_of_none: f64,
    margin: f64,
    p_outside: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../tests/golden/audit.json")).unwrap()
}

/// A side as the golden file tells it: one rule, which is the pipeline too.
fn side_of(authors: &[Vec<[u64; 3]>], strata: usize) -> SideCounts {
    let row = |row: &[u64; 3]| (row[0] as usize, vec![row[1], row[2]]);
    let clusters = authors.iter().map(|rows| rows.iter().map(row).collect()).collect();
    SideCounts { clusters, authors: authors.len() as u64, strata, width: 2 }
}

fn assert_close(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours}, the witness says {theirs}");
}

#[test]
fn bca_intervals_and_p_values_are_those_of_scipy() {
    let golden = golden();
    let plan = Plan { seed: golden.seed, resamples: golden.resamples, threads: 2 };
    for (at, case) in golden.cases.iter().enumerate() {
        let [a, b] = [0, 1].map(|side| side_of(&case.sides[side], case.strata));
        let resampled = resample(plan, [&golden.sides[0], &golden.sides[1]], &a, &b);
        for (contrast, expected) in
            [(Contrast::Overall, &case.overall), (Contrast::LikeForLike, &case.like_for_like)]
        {
            let place = Layout::of(&a).place(0, contrast);
            let what = |part: &str| format!("case {at}, {contrast:?}, {part}");
            // Sums are of integers, so that only the last bits of a few divisions may differ.
            assert_close(resampled.observed[place], expected.observed, 1e-12, &what("observed"));
            let jackknife = resampled.jackknife[place];
            let acceleration = jackknife.acceleration;
            assert_close(acceleration, expected.acceleration, 1e-9, &what("acceleration"));
            for (number, value) in expected.resampled.iter().enumerate() {
                assert_close(resampled.row(number)[place], *value, 1e-12, &what("resample"));
            }
            let distribution = resampled.distribution(place);
            assert_eq!(distribution.len(), golden.resamples);
            let sizes = [a.sizes(None), b.sizes(None)];
            let expansion = Expansion::new(jackknife.variance, [&sizes[0], &sizes[1]]);
            let of = |expansion| {
                let (observed, unseen) = (resampled.observed[place], [Vec::new(), Vec::new()]);
                Bounds::new(observed, distribution.clone(), acceleration, expansion, unseen)
                    .unwrap()
            };
            let bounds = of(expansion);
            for (bounds, intervals) in
                [(&of(Expansion::NONE), &expected.intervals), (&bounds, &expected.expanded)]
            {
                for [confidence, low, high] in intervals {
                    let [ours_low, ours_high] = bounds.interval(1.0 - confidence);
                    // Quantiles of one distribution; the quantiles of t and normal differ by 1e-8 or so.
                    assert_close(ours_low, *low, 1e-6, &what(&format!("low end at {confidence}")));
                    assert_close(
                        ours_high,
                        *high,
                        1e-6,
                        &what(&format!("high end at {confidence}")),
                    );
                }
            }
            // The witness halves its range 26 times: levels within 1e-6.
            assert_close(bounds.p_of_none(), expected.p_of_none, 1e-5, &what("p"));
            let outside = bounds.p_outside(expected.margin);
            assert_close(outside, expected.p_outside, 1e-5, &what("p outside the margin"));
        }
    }
}

#[test]
fn holm_is_that_of_statsmodels() {
    for case in golden().holm {
        for (ours, theirs) in holm(&case.p).into_iter().zip(case.adjusted) {
            assert_close(ours, theirs, 1e-15, "Holm");
        }
    }
    let with_gap = holm(&[0.01, f64::NAN, 0.02]);
    assert_eq!(with_gap[0], 0.02);
    assert!(with_gap[1].is_nan());
}

#[test]
fn what_was_never_seen_is_bounded_as_by_scipys_beta_binomial() {
    for case in golden().unseen {
        let bound = UnseenRate::new(case.sizes.clone(), true).bound(case.alpha);
        assert_close(bound, case.bound, 1e-8, "bound");
    }
    // Posts that stand for themselves: 1 - alpha^(1/n), the exact binomial bound.
    let bound = UnseenRate::new(vec![40, 60], false).bound(0.05);
    assert_close(bound, 1.0 - 0.05_f64.powf(0.01), 1e-9, "bound of independent posts");
}

/// A made-up public: authors write a lognormal number of posts and have their own rate, beta with a mean
/// and a correlation of posts within an author.
struct Public {
    rate: f64,
    correlation: f64,
    authors: usize,
}

impl Public {
    fn side(&self, draws: &mut Draws) -> SideCounts {
        let k = (1.0 - self.correlation) / self.correlation;
        let clusters = (0..self.authors)
            .map(|_| {
                let posts = (2.0 * normal(draws).exp()).ceil().min(60.0) as u64;
                let taste = beta(draws, self.rate * k, (1.0 - self.rate) * k);
                let dropped = (0..posts).filter(|_| uniform(draws) < taste).count() as u64;
                vec![(0, vec![posts, dropped])]
            })
            .collect();
        SideCounts { clusters, authors: self.authors as u64, strata: 1, width: 2 }
    }
}

fn uniform(draws: &mut Draws) -> f64 {
    (draws.word() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Box and Muller 1958.
fn normal(draws: &mut Draws) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(draws)).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(draws)).cos()
}

/// Jöhnk 1964: right for any parameters, and quick for those below one or two that are used here.
fn beta(draws: &mut Draws, a: f64, b: f64) -> f64 {
    loop {
        let (x, y) = (uniform(draws).ln() / a, uniform(draws).ln() / b);
        // In logarithms, since small parameters underflow.
        let highest = x.max(y);
        let log_sum = highest + ((x - highest).exp() + (y - highest).exp()).ln();
        if log_sum <= 0.0 {
            return (x - log_sum).exp();
        }
    }
}

/// Interval bounds for one draw of two publics.
fn bounds_of(pair: [&Public; 2], number: u64, resamples: usize) -> Bounds {
    let mut draws = Draws::new(number, "public");
    let [a, b] = pair.map(|public| public.side(&mut draws));
    let plan = Plan { seed: number, resamples, threads: 1 };
    let resampled = resample(plan, ["a", "b"], &a, &b);
    bounds(&resampled, [&a, &b], 0, Contrast::Overall, Unit::Author).unwrap()
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    const DRAWS: u64 = 600;
    // (publics, least coverage of 95 % intervals). With 3000 draws of 1000 resamples: 0.931, 0.930, 0.941,
    // 1.000. Two standard deviations of 600 draws are 2 points.
    let public = |rate, authors| Public { rate, correlation: 0.2, authors };
    for (pair, least) in [
        ([public(0.5, 200), public(0.55, 200)], 0.91),
        ([public(0.2, 60), public(0.3, 60)], 0.91),
        ([public(0.3, 26), public(0.3, 29)], 0.91),
        // A rule that hardly ever drops: most draws see nothing on one side.
        ([public(0.002, 40), public(0.002, 40)], 0.95),
    ] {
        let truth = pair[1].rate - pair[0].rate;
        let covered = (0..DRAWS)
            .filter(|&number| {
                let [low, high] = bounds_of([&pair[0], &pair[1]], number, 400).interval(0.05);
                low <= truth && truth <= high
            })
            .count();
        let share = covered as f64 / DRAWS as f64;
        println!(
            "{} and {} authors, rate {}: {share:.3}",
            pair[0].authors, pair[1].authors, pair[0].rate
        );
        assert!(share >= least, "covers {share}, at least {least} expected");
    }
}

#[test]
fn resampling_posts_instead_of_authors_would_cover_far_less() {
    // The same publics taken for independent posts: the intervals that an audit must not print.
    let public = Public { rate: 0.3, correlation: 0.2, authors: 60 };
    let covered = (0..300)
        .filter(|&number| {
            let mut draws = Draws::new(number, "public");
            let [a, b] = [0, 1].map(|_| {
                let side = public.side(&mut draws);
                let totals = side.totals();
                let post = |at: u64| vec![(0, vec![1, u64::from(at < totals[1])])];
                let clusters: Vec<_> = (0..totals[0]).map(post).collect();
                SideCounts { authors: clusters.len() as u64, clusters, strata: 1, width: 2 }
            });
            let plan = Plan { seed: number, resamples: 200, threads: 1 };
            let resampled = resample(plan, ["a", "b"], &a, &b);
            let bounds = bounds(&resampled, [&a, &b], 0, Contrast::Overall, Unit::Author).unwrap();
            let [low, high] = bounds.interval(0.05);
            low <= 0.0 && 0.0 <= high
        })
        .count();
    assert!(covered < 255, "{covered} of 300: clustering would not matter");
}

#[test]
fn errors_of_both_kinds_keep_to_their_level() {
    const DRAWS: u64 = 400;
    // No difference: p below 5 % in about 5 % of draws; three standard deviations are 3.3 points, and
    // few authors cost some more.
    let even = || Public { rate: 0.2, correlation: 0.1, authors: 80 };
    let (a, b) = (even(), even());
    let found = (0..DRAWS).filter(|&n| bounds_of([&a, &b], n, 400).p_of_none() < 0.05).count();
    assert!((4..=36).contains(&found), "{found} of {DRAWS} differences found where there are none");
    // A difference of exactly the margin: found to be within it in 5 % of draws at most.
    let (a, b) = (Public { rate: 0.2, ..even() }, Public { rate: 0.3, ..even() });
    let within = (0..DRAWS).filter(|&n| bounds_of([&a, &b], n, 400).p_outside(0.1) < 0.05).count();
    assert!(within <= 36, "{within} of {DRAWS} taken for alike at the margin itself");
    // A difference far beyond it is found.
    let (a, b) = (Public { rate: 0.1, ..even() }, Public { rate: 0.3, ..even() });
    let found = (0..DRAWS).filter(|&n| bounds_of([&a, &b], n, 400).p_of_none() < 0.05).count();
    assert!(found > 360, "{found} of {DRAWS} large differences found");
}

#[test]
fn mantel_haenszel_takes_out_what_the_strata_explain() {
    // Within either stratum both sides have one rate (1/2 and 1/10); the mix of strata differs.
    let author =
        |long: u64, short: u64| vec![(0, vec![long, long / 2]), (1, vec![short, short / 10])];
    let side = |long, short| SideCounts {
        clusters: (0..20).map(|_| author(long, short)).collect(),
        authors: 20,
        strata: 2,
        width: 2,
    };
    let (a, b) = (side(40, 10), side(10, 40));
    let plan = Plan { seed: 1, resamples: 200, threads: 1 };
    let resampled = resample(plan, ["a", "b"], &a, &b);
    let layout = Layout::of(&a);
    let observed = |contrast| resampled.observed[layout.place(0, contrast)];
    assert_close(observed(Contrast::LikeForLike), 0.0, 1e-15, "like for like");
    assert_close(observed(Contrast::Overall), 9.0 / 50.0 - 21.0 / 50.0, 1e-15, "overall");
}

fn tally(posts: &[(u8, u8, u8, bool)], reversed: bool) -> Tally {
    let facet = |name: &str, stratifies| Facet { name: name.into(), stratifies };
    let facets = vec![facet("length", true), facet("dialect", false)];
    let mut tally = Tally::new(vec!["r".into(), "never".into()], facets);
    let mut order: Vec<_> = posts.iter().collect();
    if reversed {
        order.reverse();
    }
    for (side, author, level, dropped) in order {
        let (side, author) = (side.to_string(), format!("{side}-{author}"));
        let level = level.to_string();
        let levels = [level.as_str(), "d"];
        let dropped = [*dropped, false];
        let post =
            Observation { side: &side, author: Some(&author), levels: &levels, dropped: &dropped };
        tally.add(&post).unwrap();
    }
    tally
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_result_depends_on_posts_and_seed_alone(
        posts in prop::collection::vec((0_u8..2, 0_u8..14, 0_u8..3, any::<bool>()), 30..120)
    ) {
        let config = |threads| AuditConfig { resamples: 200, threads, ..AuditConfig::default() };
        let forward = tally(&posts, false);
        if forward.sides().len() < 2 {
            return Ok(());
        }
        let once = audit(&forward, &config(1), |_, _| ()).unwrap();
        // Compared as printed: a difference without posts is not equal to itself.
        let text = |audit: &Audit| serde_json::to_string(audit).unwrap();
        for threads in [2, 7] {
            prop_assert_eq!(text(&once), text(&audit(&forward, &config(threads), |_, _| ()).unwrap()));
        }
        let backward = audit(&tally(&posts, true), &config(1), |_, _| ()).unwrap();
        prop_assert_eq!(text(&once), text(&backward));
    }

    #[test]
    fn exchanging_the_sides_changes_the_sign_and_nothing_else(
        posts in prop::collection::vec((0_u8..2, 0_u8..14, 0_u8..3, any::<bool>()), 60..120)
    ) {
        let tally = tally(&posts, false);
        let against = |sides: [&str; 2]| {
            let sides = sides.map(str::to_owned).to_vec();
            let config = AuditConfig { sides, resamples: 200, ..AuditConfig::default() };
            let audit = audit(&tally, &config, |_, _| ()).unwrap();
            audit.rules[0].sides[1].against.clone().unwrap()
        };
        let (there, back) = (against(["0", "1"]), against(["1", "0"]));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        prop_assert!(close(there.overall.difference, -back.overall.difference));
        prop_assert!(close(there.overall.interval[0], -back.overall.interval[1]));
        prop_assert!(close(there.overall.interval[1], -back.overall.interval[0]));
        prop_assert!(close(there.overall.p, back.overall.p));
        prop_assert!(close(there.overall.equivalence_p, back.overall.equivalence_p));
        prop_assert_eq!(there.verdict, back.verdict);
    }
}

/// Two sides of authors with twenty posts each, of which a rule drops some.
fn sides_of(authors: u64, dropped: [u64; 2]) -> Audit {
    let mut tally = Tally::new(vec!["r".into()], Vec::new());
    for (side, dropped) in ["a", "b"].into_iter().zip(dropped) {
        for author in 0..authors {
            let name = format!("{side}{author}");
            // Authors differ a little, so that there is something to resample.
            let drops = (dropped + author % 3).min(20) * u64::from(dropped > 0);
            for post in 0..20 {
                let dropped = [post < drops];
                let post =
                    Observation { side, author: Some(&name), levels: &[], dropped: &dropped };
                tally.add(&post).unwrap();
            }
        }
    }
    audit(&tally, &AuditConfig { resamples: 1000, ..AuditConfig::default() }, |_, _| ()).unwrap()
}

#[test]
fn verdicts_say_what_was_shown() {
    let leaning = sides_of(60, [2, 8]);
    assert_eq!(leaning.verdict, Leaning::Leans);
    let against = leaning.rules[0].sides[1].against.as_ref().unwrap();
    assert!((against.overall.difference - 0.3).abs() < 1e-12);
    assert!(against.like_for_like.is_none(), "there are no strata");
    assert_eq!(sides_of(60, [4, 4]).verdict, Leaning::WithinMargin);
    // Nothing dropped: within the margin where many authors show it, else undetermined.
    assert_eq!(sides_of(200, [0, 0]).verdict, Leaning::WithinMargin);
    assert_eq!(sides_of(12, [0, 0]).verdict, Leaning::Undetermined);
    let [low, high] = sides_of(12, [0, 0]).all.sides[1].against.as_ref().unwrap().overall.interval;
    assert!(low < -0.01 && high > 0.01, "[{low}, {high}]: an interval of no width");
    // However clear, fewer than ten authors show nothing of a public.
    assert_eq!(sides_of(9, [1, 18]).verdict, Leaning::Undetermined);
}

#[test]
fn wrong_questions_are_refused_with_a_remedy() {
    let mut tally = Tally::new(vec!["r".into()], Vec::new());
    let post = |side| Observation { side, author: None, levels: &[], dropped: &[true] };
    let ask = |tally: &Tally, config: AuditConfig| {
        audit(tally, &config, |_, _| ()).err().unwrap().to_string()
    };
    assert!(ask(&tally, AuditConfig::default()).contains("no side"));
    tally.add(&post("a")).unwrap();
    assert!(ask(&tally, AuditConfig::default()).contains("at least two"));
    tally.add(&post("b")).unwrap();
    let sides = vec!["a".to_owned(), "c".to_owned()];
    let config = AuditConfig { sides, ..AuditConfig::default() };
    assert!(ask(&tally, config).contains("the sides are a, b"));
    assert!(ask(&tally, AuditConfig { margin: 0.0, ..AuditConfig::default() }).contains("margin"));
    let config = AuditConfig { resamples: 10, ..AuditConfig::default() };
    assert!(ask(&tally, config).contains("200 or more"));
    let wrong = Observation { side: "a", author: None, levels: &["x"], dropped: &[true] };
    assert!(tally.add(&wrong).is_err());
}

#[test]
fn many_authors_are_grouped_and_posts_without_author_stand_alone() {
    let mut tally = Tally::new(vec!["r".into()], Vec::new());
    for author in 0..6000_u32 {
        let (name, dropped) = (author.to_string(), [author % 10 == 0]);
        for side in ["a", "b"] {
            let post = Observation { side, author: Some(&name), levels: &[], dropped: &dropped };
            tally.add(&post).unwrap();
        }
    }
    let side = tally.side("a", 1, |_| Some(0));
    assert_eq!(side.authors, 6000);
    assert!(side.clusters.len() <= 4096);
    assert_eq!(side.totals(), [6000, 600, 600]);
    let config = AuditConfig { resamples: 400, ..AuditConfig::default() };
    let grouped = audit(&tally, &config, |_, _| ()).unwrap();
    let [low, high] = grouped.all.sides[1].against.as_ref().unwrap().overall.interval;
    // 1.96 standard errors of a difference of two rates of 0.1 among 6000 each: 1.07 points.
    assert!((high - low - 0.0215).abs() < 0.003, "{}", high - low);
    assert_eq!(grouped.unit, Unit::Author);
    let alone = Observation { side: "a", author: None, levels: &[], dropped: &[false] };
    tally.add(&alone).unwrap();
    let posts = audit(&tally, &config, |_, _| ()).unwrap();
    assert_eq!((posts.unit, posts.sides[0].authors), (Unit::Post, None));
}
