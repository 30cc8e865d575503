//! What an audit found, as it is printed and drawn. Rates and differences are shares: 0.02 is two
//! points.

use serde::{Deserialize, Serialize};

use super::decision::Leaning;

/// A whole audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The side that the others are held against.
    pub reference: String,
    /// Posts and authors by side, the reference first.
    pub sides: Vec<SideSize>,
    /// Largest difference that does not matter, as a share.
    pub margin: f64,
    /// Error of verdicts and of intervals: 0.05.
    pub alpha: f64,
    /// Resamples of the bootstrap.
    pub resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// What is resampled: `author`, or `post` where no author is known.
    pub unit: Unit,
    /// Facets within whose levels sides are compared, like with like.
    pub strata: Vec<String>,
    /// By rule, in the order of the rules.
    pub rules: Vec<RuleAudit>,
    /// All rules together: a post is dropped when any rule drops it.
    pub all: RuleAudit,
    /// The worst verdict of a rule or of all.
    pub verdict: Leaning,
}

/// What the bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Authors with all their posts.
    Author,
    /// Posts, since their authors are unknown; intervals are too narrow if few people wrote many.
    Post,
}

/// Size of a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideSize {
    /// The side.
    pub side: String,
    /// Posts.
    pub n: u64,
    /// Authors; nothing where they are unknown.
    pub authors: Option<u64>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleAudit {
    /// Its name; `all` for all together.
    pub rule: String,
    /// The worst verdict of its comparisons.
    pub verdict: Leaning,
    /// By side, the reference first.
    pub sides: Vec<SideAudit>,
    /// By facet.
    pub by: Vec<FacetAudit>,
}

/// One rule on one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideAudit {
    /// The side.
    pub side: String,
    /// Posts.
    pub n: u64,
    /// Authors; nothing where they are unknown.
    pub authors: Option<u64>,
    /// Posts dropped.
    pub dropped: u64,
    /// Share dropped.
    pub rate: f64,
    /// Held against the reference; nothing for the reference itself.
    #[serde(flatten)]
    pub against: Option<Against>,
}

/// A side held against the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The worse verdict of both comparisons.
    pub verdict: Leaning,
    /// Over all posts.
    #[serde(flatten)]
    pub overall: Estimate,
    /// Within strata; nothing where there are none, or none that both sides have.
    pub like_for_like: Option<LikeForLike>,
}

/// A comparison within strata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikeForLike {
    /// The verdict of this comparison alone.
    pub verdict: Leaning,
    /// The difference.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Share of posts in strata that both sides have.
    pub shared: f64,
}

/// A difference of drop rates, side minus reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Side minus reference.
    pub difference: f64,
    /// 95 % interval.
    pub interval: [f64; 2],
    /// 90 % interval: within the margin exactly when both one-sided tests at 5 % say so.
    pub equivalence_interval: [f64; 2],
    /// p-value of no difference.
    pub p: f64,
    /// The same, corrected by Holm for all comparisons of the audit.
    pub p_adjusted: f64,
    /// p-value of a difference of the margin or more.
    pub equivalence_p: f64,
}

/// One rule by the levels of a facet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FacetAudit {
    /// The facet.
    pub facet: String,
    /// Its levels.
    pub levels: Vec<LevelAudit>,
}

/// One rule in one level of a facet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelAudit {
    /// The level.
    pub level: String,
    /// By side, the reference first.
    pub sides: Vec<LevelSide>,
}

/// One rule in one level on one side. It describes; verdicts are on the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelSide {
    /// The side.
    pub side: String,
    /// Posts.
    pub n: u64,
    /// Posts dropped.
    pub dropped: u64,
    /// Share dropped; nothing without posts.
    pub rate: Option<f64>,
    /// Side minus reference; nothing for the reference, and where one of both has no posts.
    pub difference: Option<f64>,
    /// 95 % interval of the difference.
    pub interval: Option<[f64; 2]>,
}
