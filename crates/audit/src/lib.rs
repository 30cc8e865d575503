//! The audit by side: does a rule drop one side's voices more than another's?
//!
//! A [`Tally`] counts posts by side, author, language, length and what else is known; [`audit`] turns
//! it into rates, differences with author-clustered intervals, and a verdict for every rule and for all
//! together. Pure: seed and threads are arguments, the result depends on the seed alone. [`source`] finds posts with
//! their sides in files and stores, [`report`] makes a page. docs/posts-audit.md describes what the verdicts mean.

mod bootstrap;
mod decision;
mod error;
mod interval;
mod judge;
pub mod report;
mod result;
mod samples;
pub mod source;
mod strata;
mod tally;

pub use decision::{Leaning, holm};
pub use error::AuditError;
pub use judge::Judge;
pub use result::{
    Against, Audit, Estimate, FacetAudit, LevelAudit, LevelSide, LikeForLike, RuleAudit, SideAudit,
    SideSize, Unit,
};
pub use samples::{Sample, Samples};
pub use strata::length_stratum;
pub use tally::{Facet, Observation, Tally};

use bootstrap::{Contrast, Layout, Plan, Resampled, resample};
use interval::{Bounds, Expansion, UnseenRate};
use std::collections::HashMap;
use tally::SideCounts;

/// Error of verdicts and intervals.
const ALPHA: f64 = 0.05;

/// With fewer authors on a side, resampling them says nothing reliable (Cameron, Gelbach and Miller,
/// "Bootstrap-based improvements for inference with clustered errors", Review of Economics and
/// Statistics 90, 2008, study 5 to 30 clusters): the verdict is then undetermined.
const MIN_AUTHORS: u64 = 10;

/// Levels of a facet that are listed; the rarest beyond are listed together.
const MAX_LEVELS: usize = 24;
/// Name of the rarest levels taken together.
const OTHER_LEVELS: &str = "(other)";

/// How to audit.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditConfig {
    /// Sides to compare, the reference first; all, in alphabetical order, when empty.
    pub sides: Vec<String>,
    /// Largest difference that does not matter, as a share.
    pub margin: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// Resamples.
    pub resamples: usize,
    /// Threads; the result is the same for any number.
    pub threads: usize,
}

impl Default for AuditConfig {
    fn default() -> AuditConfig {
        AuditConfig { sides: Vec::new(), margin: 0.02, seed: 1, resamples: 4000, threads: 1 }
    }
}

/// Compares every side with the reference under every rule. `progress` hears how many of how many
/// passes of resampling are done.
///
/// # Errors
/// [`AuditError`]: fewer than two sides, a side without posts, settings out of range.
pub fn audit(
    tally: &Tally,
    config: &AuditConfig,
    mut progress: impl FnMut(usize, usize),
) -> Result<Audit, AuditError> {
    let sides = check(tally, config)?;
    let plan = Plan { seed: config.seed, resamples: config.resamples, threads: config.threads };
    let mut names: Vec<&str> = vec!["all"];
    names.extend(tally.rules().iter().map(String::as_str));
    let stratifying: Vec<usize> =
        (0..tally.facets().len()).filter(|&at| tally.facets()[at].stratifies).collect();
    let unit = if tally.without_author() == 0 { Unit::Author } else { Unit::Post };
    let passes = (sides.len() - 1) * (1 + tally.facets().len());
    let mut passed = 0;

    let strata = strata_of(tally, &stratifying);
    let counts: Vec<SideCounts> =
        sides.iter().map(|side| by_strata(tally, side, &strata, &stratifying)).collect();
    let mut rules: Vec<RuleAudit> = names
        .iter()
        .enumerate()
        .map(|(rule, name)| RuleAudit {
            rule: (*name).to_owned(),
            verdict: Leaning::WithinMargin,
            sides: sides.iter().zip(&counts).map(|(s, c)| side_audit(s, c, rule, unit)).collect(),
            by: Vec::new(),
        })
        .collect();
    for other in 1..sides.len() {
        let pair = [&counts[0], &counts[other]];
        let resampled = resample(plan, [&sides[0], &sides[other]], pair[0], pair[1]);
        for (rule, audit) in rules.iter_mut().enumerate() {
            audit.sides[other].against =
                against(&resampled, pair, rule, unit, config.margin, !stratifying.is_empty());
        }
        passed += 1;
        progress(passed, passes);
    }
    adjust(&mut rules, &counts, unit);

    for facet in 0..tally.facets().len() {
        let levels = listed_levels(tally, facet, &sides);
        let of = |side: &str| by_level(tally, side, facet, &levels);
        let counts: Vec<SideCounts> = sides.iter().map(|side| of(side)).collect();
        let mut by: Vec<FacetAudit> = (0..names.len())
            .map(|rule| facet_audit(&tally.facets()[facet].name, &levels, &sides, &counts, rule))
            .collect();
        for other in 1..sides.len() {
            let pair = [&counts[0], &counts[other]];
            let resampled = resample(plan, [&sides[0], &sides[other]], pair[0], pair[1]);
            for (rule, audit) in by.iter_mut().enumerate() {
                for (stratum, level) in audit.levels.iter_mut().enumerate() {
                    let contrast = Contrast::Stratum(stratum);
                    let Some(bounds) = bounds(&resampled, pair, rule, contrast, unit) else {
                        continue;
                    };
                    let place = Layout::of(pair[0]).place(rule, contrast);
                    level.sides[other].difference = Some(resampled.observed[place]);
                    level.sides[other].interval = Some(bounds.interval(ALPHA));
                }
            }
            passed += 1;
            progress(passed, passes);
        }
        rules.iter_mut().zip(by).for_each(|(rule, by)| rule.by.push(by));
    }

    let verdict = rules.iter().map(|rule| rule.verdict).max().unwrap_or(Leaning::Undetermined);
    let all = rules.remove(0);
    let size =
        |side: &SideAudit| SideSize { side: side.side.clone(), n: side.n, authors: side.authors };
    Ok(Audit {
        reference: sides[0].clone(),
        sides: all.sides.iter().map(size).collect(),
        margin: config.margin,
        alpha: ALPHA,
        resamples: config.resamples,
        seed: config.seed,
        unit,
        strata: stratifying.iter().map(|&at| tally.facets()[at].name.clone()).collect(),
        rules,
        all,
        verdict,
    })
}

/// The sides to compare, the reference first.
fn check(tally: &Tally, config: &AuditConfig) -> Result<Vec<String>, AuditError> {
    let setting = |name, given, range| Err(AuditError::Setting { name, given, range });
    if !(config.margin > 0.0 && config.margin < 1.0) {
        return setting("margin", 100.0 * config.margin, "points above 0 and below 100");
    }
    if config.resamples < 200 {
        return setting("resamples", config.resamples as f64, "200 or more");
    }
    let found = tally.sides();
    let list = || match found.is_empty() {
        true => "no side".to_owned(),
        false => found.join(", "),
    };
    let mut sides: Vec<String> = config.sides.clone();
    if sides.is_empty() {
        sides = found.iter().map(|side| (*side).to_owned()).collect();
    }
    if let Some(side) = sides.iter().find(|side| !found.contains(&side.as_str())) {
        return Err(AuditError::NoSuchSide { side: side.clone(), found: list() });
    }
    let mut seen = std::collections::HashSet::new();
    sides.retain(|side| seen.insert(side.clone()));
    if sides.len() < 2 {
        return Err(AuditError::OneSide { found: list() });
    }
    Ok(sides)
}

/// Places of the strata: every combination of levels of the stratifying facets that is met.
fn strata_of(tally: &Tally, facets: &[usize]) -> HashMap<Vec<String>, usize> {
    let mut strata = std::collections::BTreeSet::new();
    for side in tally.sides() {
        tally.side(side, 1, |levels| {
            strata.insert(stratum_key(levels, facets));
            None
        });
    }
    strata.into_iter().enumerate().map(|(place, stratum)| (stratum, place)).collect()
}

fn stratum_key(levels: &[&str], facets: &[usize]) -> Vec<String> {
    facets.iter().map(|&facet| levels[facet].to_owned()).collect()
}

fn by_strata(
    tally: &Tally,
    side: &str,
    strata: &HashMap<Vec<String>, usize>,
    facets: &[usize],
) -> SideCounts {
    tally
        .side(side, strata.len().max(1), |levels| strata.get(&stratum_key(levels, facets)).copied())
}

/// The levels of a facet that are listed, in order; the last may be all others.
fn listed_levels(tally: &Tally, facet: usize, sides: &[String]) -> Vec<String> {
    let mut levels: Vec<String> = tally.levels(facet).into_iter().map(str::to_owned).collect();
    let mut posts = vec![0; levels.len()];
    for side in sides {
        let places: HashMap<&str, usize> =
            levels.iter().enumerate().map(|(place, level)| (level.as_str(), place)).collect();
        let counts = tally.side(side, levels.len(), |of| places.get(of[facet]).copied());
        let totals = counts.totals();
        posts.iter_mut().zip(totals.chunks(counts.width)).for_each(|(sum, row)| *sum += row[0]);
    }
    let mut order: Vec<usize> = (0..levels.len()).filter(|&at| posts[at] > 0).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(posts[at]));
    let rest = order.len() > MAX_LEVELS;
    order.truncate(MAX_LEVELS);
    levels = order.into_iter().map(|at| std::mem::take(&mut levels[at])).collect();
    levels.sort_by(|a, b| strata::order_of(a).cmp(&strata::order_of(b)));
    if rest {
        levels.push(OTHER_LEVELS.to_owned());
    }
    levels
}

fn by_level(tally: &Tally, side: &str, facet: usize, levels: &[String]) -> SideCounts {
    let places: HashMap<&str, usize> =
        levels.iter().enumerate().map(|(place, level)| (level.as_str(), place)).collect();
    let other = places.get(OTHER_LEVELS).copied();
    tally.side(side, levels.len(), |of| places.get(of[facet]).copied().or(other))
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Posts and drops of a rule on a side, in one stratum or in all.
fn drops(side: &SideCounts, rule: usize, stratum: Option<usize>) -> (u64, u64) {
    let totals = side.totals();
    let rows = totals.chunks(side.width).enumerate();
    rows.filter(|(at, _)| stratum.is_none_or(|only| only == *at))
        .fold((0, 0), |(n, dropped), (_, row)| (n + row[0], dropped + row[rule + 1]))
}

fn side_audit(side: &str, counts: &SideCounts, rule: usize, unit: Unit) -> SideAudit {
    let (n, dropped) = drops(counts, rule, None);
    SideAudit {
        side: side.to_owned(),
        n,
        authors: (unit == Unit::Author).then_some(counts.authors),
        dropped,
        rate: share(dropped, n).unwrap_or(0.0),
        against: None,
    }
}

fn facet_audit(
    facet: &str,
    levels: &[String],
    sides: &[String],
    counts: &[SideCounts],
    rule: usize,
) -> FacetAudit {
    let level = |(stratum, level): (usize, &String)| LevelAudit {
        level: level.clone(),
        sides: sides
            .iter()
            .zip(counts)
            .map(|(side, counts)| {
                let (n, dropped) = drops(counts, rule, Some(stratum));
                let (difference, interval) = (None, None);
                let rate = share(dropped, n);
                LevelSide { side: side.clone(), n, dropped, rate, difference, interval }
            })
            .collect(),
    };
    FacetAudit { facet: facet.to_owned(), levels: levels.iter().enumerate().map(level).collect() }
}

/// The bounds of one difference, with what sides without variation add.
fn bounds(
    resampled: &Resampled,
    pair: [&SideCounts; 2],
    rule: usize,
    contrast: Contrast,
    unit: Unit,
) -> Option<Bounds> {
    let place = Layout::of(pair[0]).place(rule, contrast);
    let stratum = match contrast {
        Contrast::Stratum(stratum) => Some(stratum),
        Contrast::Overall | Contrast::LikeForLike => None,
    };
    let sizes = pair.map(|counts| counts.sizes(stratum));
    let mut unseen = [Vec::new(), Vec::new()];
    for (side, counts) in pair.into_iter().enumerate() {
        let (n, dropped) = drops(counts, rule, stratum);
        // A rate of 0 can only be higher, one of 1 only lower; the reference counts against.
        let raises = match dropped {
            0 => true,
            all if all == n => false,
            _ => continue,
        };
        let end = usize::from(raises == (side == 1));
        unseen[end].push(UnseenRate::new(sizes[side].clone(), unit == Unit::Author));
    }
    let jackknife = resampled.jackknife[place];
    let expansion = Expansion::new(jackknife.variance, [&sizes[0], &sizes[1]]);
    let (observed, distribution) = (resampled.observed[place], resampled.distribution(place));
    Bounds::new(observed, distribution, jackknife.acceleration, expansion, unseen)
}

fn against(
    resampled: &Resampled,
    pair: [&SideCounts; 2],
    rule: usize,
    unit: Unit,
    margin: f64,
    stratified: bool,
) -> Option<Against> {
    let estimate = |contrast| {
        let bounds = bounds(resampled, pair, rule, contrast, unit)?;
        let p = bounds.p_of_none();
        Some(Estimate {
            difference: resampled.observed[Layout::of(pair[0]).place(rule, contrast)],
            interval: bounds.interval(ALPHA),
            equivalence_interval: bounds.interval(2.0 * ALPHA),
            p,
            p_adjusted: p,
            equivalence_p: bounds.p_outside(margin),
        })
    };
    let like = |estimate| LikeForLike {
        verdict: Leaning::Undetermined,
        estimate,
        shared: shared_share(pair),
    };
    Some(Against {
        verdict: Leaning::Undetermined,
        overall: estimate(Contrast::Overall)?,
        like_for_like: if stratified { estimate(Contrast::LikeForLike).map(like) } else { None },
    })
}

/// Share of posts in strata that both sides have.
fn shared_share(pair: [&SideCounts; 2]) -> f64 {
    let totals = pair.map(SideCounts::totals);
    let rows = |side: usize| totals[side].chunks(pair[side].width).map(|row| row[0]);
    let both = rows(0).zip(rows(1));
    let (shared, all) = both.fold((0, 0), |(shared, all), (a, b)| {
        (shared + if a > 0 && b > 0 { a + b } else { 0 }, all + a + b)
    });
    share(shared, all).unwrap_or(0.0)
}

/// Corrects p-values and gives the verdicts. `rules` begins with all rules together.
///
/// Rules and pairs of sides are one family, in either way of comparing; the pipeline is a question of
/// its own. A rule that drops none or all of both sides tests nothing and costs the others nothing
/// (Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990).
fn adjust(rules: &mut [RuleAudit], counts: &[SideCounts], unit: Unit) {
    for way in [overall, like_for_like] {
        let (all, single) = rules.split_at_mut(1);
        for family in [all, single] {
            let mut estimates = estimates(family, way);
            let raw: Vec<f64> = estimates.iter().map(|estimate| estimate.p).collect();
            estimates.iter_mut().zip(holm(&raw)).for_each(|(e, p)| e.p_adjusted = p);
        }
    }
    let few = |side: &SideCounts| unit == Unit::Author && side.authors < MIN_AUTHORS;
    for rule in rules {
        for (at, side) in rule.sides.iter_mut().enumerate() {
            let Some(against) = &mut side.against else { continue };
            let too_few = few(&counts[0]) || few(&counts[at]);
            let judge = |estimate: &Estimate| match too_few {
                true => Leaning::Undetermined,
                false => Leaning::judge(estimate.p_adjusted, estimate.equivalence_p, ALPHA),
            };
            against.verdict = judge(&against.overall);
            if let Some(like) = &mut against.like_for_like {
                like.verdict = judge(&like.estimate);
                against.verdict = against.verdict.max(like.verdict);
            }
        }
        let verdicts = rule.sides.iter().skip(1).map(|side| side.against.as_ref());
        let worst = verdicts.map(|a| a.map_or(Leaning::Undetermined, |a| a.verdict)).max();
        rule.verdict = worst.unwrap_or(Leaning::Undetermined);
    }
}

fn overall(against: &mut Against) -> Option<&mut Estimate> {
    Some(&mut against.overall)
}

fn like_for_like(against: &mut Against) -> Option<&mut Estimate> {
    against.like_for_like.as_mut().map(|like| &mut like.estimate)
}

/// The estimates of rules that could have come out otherwise.
fn estimates(
    rules: &mut [RuleAudit],
    way: fn(&mut Against) -> Option<&mut Estimate>,
) -> Vec<&mut Estimate> {
    let constant = |side: &SideAudit| side.dropped == 0 || side.dropped == side.n;
    let mut found = Vec::new();
    for rule in rules {
        let (reference, others) = rule.sides.split_at_mut(1);
        for side in others {
            let idle = constant(&reference[0]) && side.rate == reference[0].rate;
            if !idle && let Some(against) = &mut side.against {
                found.extend(way(against));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
