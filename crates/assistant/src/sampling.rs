//! From logits to the next token: penalties, filters, a draw. Pure: the result is a function of
//! the logits, the settings, the tokens so far and (seed, position), of nothing else. Does not
//! run the model.
//!
//! Order, as in Hugging Face `generate`: logit bias, repetition penalty, frequency and presence
//! penalties, temperature, top-k, top-p, min-p, draw. Each filter sees the distribution that the
//! one before left, renormalised. Ties rank by lowest id. Probabilities are f64; the draw walks the
//! kept tokens by ascending id.

use std::collections::BTreeMap;

use crate::{AssistantError, TokenId};
use stoa_random::uniform;

/// How tokens are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most probable token always.
    pub temperature: f32,
    /// Keep the k most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the fewest most probable tokens whose probabilities sum to at least this much (nucleus
    /// sampling, arXiv 1904.09751 §3.1); 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this probable relative to the most probable (arXiv 2407.01082 §3);
    /// 0 keeps all.
    pub min_p: f32,
    /// Tokens of the prompt and of the answer: positive logits are divided by it, negative ones
    /// multiplied (arXiv 1909.05858 §4.1, sign rule of Hugging Face); 1 for none.
    pub repetition_penalty: f32,
    /// Taken off the logit of a token for each time it stands in the answer.
    pub frequency_penalty: f32,
    /// Taken off the logit of a token that stands in the answer.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens; −∞ forbids one.
    pub logit_bias: BTreeMap<TokenId, f32>,
    /// Names the stream of random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    /// Plain sampling from the model's own distribution.
    fn default() -> Self {
        Sampling {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// The most probable token always.
    pub fn greedy() -> Self {
        Sampling { temperature: 0.0, ..Self::default() }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`AssistantError::Setting`] names the one outside its range.
    pub fn validate(&self, vocab_size: usize) -> Result<(), AssistantError> {
        let check = |name: &'static str, value: f32, inside: bool, range: &'static str| {
            if inside { Ok(()) } else { Err(AssistantError::Setting { name, value, range }) }
        };
        let t = self.temperature;
        check("temperature", t, t.is_finite() && t >= 0.0, "0 or more")?;
        check("top_p", self.top_p, (0.0..=1.0).contains(&self.top_p), "from 0 to 1")?;
        check("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 to 1")?;
        let r = self.repetition_penalty;
        check("repetition_penalty", r, r.is_finite() && r > 0.0, "above 0")?;
        let f = self.frequency_penalty;
        check("frequency_penalty", f, f.is_finite(), "a finite number")?;
        let p = self.presence_penalty;
        check("presence_penalty", p, p.is_finite(), "a finite number")?;
        for (&id, &bias) in &self.logit_bias {
            check("logit_bias", bias, bias < f32::INFINITY, "finite, or -inf to forbid a token")?;
            if id.index() >= vocab_size {
                return Err(AssistantError::TokenOutsideVocabulary { id, vocab_size });
            }
        }
        Ok(())
    }

    /// Whether tokens so far change the logits.
    fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.frequency_penalty != 0.0
            || self.presence_penalty != 0.0
    }
}

/// A token with its logit: the unit of the filters.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: TokenId,
    logit: f32,
    /// exp((logit − highest) / temperature).
    weight: f64,
}

impl Candidate {
    /// Whether it ranks before `other`: higher logit, then lower id.
    fn before(&self, other: &Candidate) -> std::cmp::Ordering {
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

/// Draws the tokens of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    /// Times each token stands in the answer; tokens of the prompt are present with 0.
    seen: BTreeMap<TokenId, u32>,
    /// Tokens drawn so far: the position in the random stream.
    position: u64,
    candidates: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for a sequence that begins with `prompt`.
    ///
    /// # Errors
    /// As [`Sampling::validate`].
    pub fn new(
        sampling: &Sampling,
        prompt: &[TokenId],
        vocab_size: usize,
    ) -> Result<Self, AssistantError> {
        sampling.validate(vocab_size)?;
        let seen = if sampling.penalises() {
            prompt.iter().filter(|&&id| id.index() < vocab_size).map(|&id| (id, 0)).collect()
        } else {
            BTreeMap::new()
        };
        Ok(Sampler { sampling: sampling.clone(), seen, position: 0, candidates: Vec::new() })
    }

    /// Draws the next token. `logits` are changed in place by bias and penalties.
    ///
    /// # Errors
    /// [`AssistantError::Logit`] for NaN or +∞, [`AssistantError::NothingAllowed`] when every
    /// token is forbidden.
    pub fn draw(&mut self, logits: &mut [f32]) -> Result<TokenId, AssistantError> {
        self.shortlist(logits)?;
        let id = pick(&self.candidates, uniform(self.sampling.seed, self.position));
        self.position += 1;
        if self.sampling.penalises() {
            *self.seen.entry(id).or_insert(0) += 1;
        }
        Ok(id)
    }

    /// The tokens that the next draw can give, with their probabilities, by ascending id. Draws
    /// nothing; `logits` are changed as by [`Sampler::draw`].
    ///
    /// # Errors
    /// As [`Sampler::draw`].
    pub fn distribution(
        &mut self,
        logits: &mut [f32],
    ) -> Result<Vec<(TokenId, f64)>, AssistantError> {
        self.shortlist(logits)?;
        let total: f64 = self.candidates.iter().map(|c| c.weight).sum();
        Ok(self.candidates.iter().map(|c| (c.id, c.weight / total)).collect())
    }

    /// Leaves in `candidates` what the filters keep, by ascending id.
    fn shortlist(&mut self, logits: &mut [f32]) -> Result<(), AssistantError> {
        self.penalise(logits);
        let highest = highest(logits)?;
        self.candidates.clear();
        if self.sampling.temperature == 0.0 {
            self.candidates.push(highest);
            return Ok(());
        }
        top_k(&mut self.candidates, logits, self.sampling.top_k);
        let (top, temperature) = (f64::from(highest.logit), f64::from(self.sampling.temperature));
        for c in &mut self.candidates {
            c.weight = ((f64::from(c.logit) - top) / temperature).exp();
        }
        top_p(&mut self.candidates, self.sampling.top_p);
        let min_p = f64::from(self.sampling.min_p);
        self.candidates.retain(|c| c.weight >= min_p);
        Ok(())
    }

    /// Bias and penalties, rounded to f32 after each, as the processors of Hugging Face do.
    fn penalise(&self, logits: &mut [f32]) {
        let s = &self.sampling;
        for (&id, &bias) in &s.logit_bias {
            if let Some(logit) = logits.get_mut(id.index()) {
                *logit += bias;
            }
        }
        for (&id, &count) in &self.seen {
            let Some(logit) = logits.get_mut(id.index()) else { continue };
            *logit = if *logit < 0.0 {
                *logit * s.repetition_penalty
            } else {
                *logit / s.repetition_penalty
            };
            if count > 0 {
                *logit -= s.frequency_penalty * count as f32 + s.presence_penalty;
            }
        }
    }
}

/// The most probable token, the first of several.
fn highest(logits: &[f32]) -> Result<Candidate, AssistantError> {
    let mut best = Candidate { id: TokenId(0), logit: f32::NEG_INFINITY, weight: 1.0 };
    for (i, &logit) in logits.iter().enumerate() {
        if logit.is_nan() || logit == f32::INFINITY {
            return Err(AssistantError::Logit { id: TokenId(i as u32), value: logit });
        }
        if logit > best.logit {
            best = Candidate { id: TokenId(i as u32), logit, weight: 1.0 };
        }
    }
    if best.logit == f32::NEG_INFINITY { Err(AssistantError::NothingAllowed) } else { Ok(best) }
}

/// Pushes the `k` first-ranking tokens (all when 0) that are not forbidden, by ascending id.
fn top_k(candidates: &mut Vec<Candidate>, logits: &[f32], k: usize) {
    let allowed = logits.iter().enumerate().filter(|&(_, &l)| l > f32::NEG_INFINITY);
    // + 0.0 makes −0 rank as 0.
    let all =
        allowed.map(|(i, &l)| Candidate { id: TokenId(i as u32), logit: l + 0.0, weight: 0.0 });
    if k == 0 || k >= logits.len() {
        candidates.extend(all);
        return;
    }
    // Ids ascend, so a later token enters only with a logit above the k-th best so far. The list
    // grows to 2k before it is cut to k: each token costs constant time on average.
    let mut bar = f32::NEG_INFINITY;
    for c in all {
        if candidates.len() >= k && c.logit <= bar {
            continue;
        }
        candidates.push(c);
        if candidates.len() == k || candidates.len() == k * 2 {
            bar = cut(candidates, k);
        }
    }
    if candidates.len() > k {
        cut(candidates, k);
    }
    candidates.sort_unstable_by_key(|c| c.id);
}

/// Keeps the `k` first-ranking candidates, in any order; the lowest logit among them.
fn cut(candidates: &mut Vec<Candidate>, k: usize) -> f32 {
    let (_, last, _) = candidates.select_nth_unstable_by(k - 1, Candidate::before);
    let bar = last.logit;
    candidates.truncate(k);
    bar
}

/// Keeps the shortest ranking prefix with a share of at least `p` of the weight.
fn top_p(candidates: &mut Vec<Candidate>, p: f32) {
    let p = f64::from(p);
    if p >= 1.0 {
        return;
    }
    let total: f64 = candidates.iter().map(|c| c.weight).sum();
    // Tokens lighter than (1 − p)·total/n weigh less than (1 − p)·total together, so the others
    // hold the prefix and only those are sorted. The factor absorbs rounding.
    let light = (1.0 - p) * total / candidates.len() as f64 * (1.0 - 1e-9);
    let mut ranked: Vec<Candidate> =
        candidates.iter().filter(|c| c.weight >= light).copied().collect();
    ranked.sort_unstable_by(Candidate::before);
    let mut sum = 0.0;
    let last = ranked.iter().find(|c| {
        sum += c.weight;
        sum >= p * total
    });
    if let Some(last) = last {
        candidates.retain(|c| c.before(last).is_le());
    }
}

/// The candidate in whose share of the weight `u` of [0, 1) falls.
fn pick(candidates: &[Candidate], u: f64) -> TokenId {
    let total: f64 = candidates.iter().map(|c| c.weight).sum();
    let mut sum = 0.0;
    let hit = candidates.iter().find(|c| {
        sum += c.weight;
        sum > u * total
    });
    // u·total can round up to the whole sum: then it is the last one that weighs anything.
    let last = || candidates.iter().rev().find(|c| c.weight > 0.0);
    hit.or_else(last).expect("the most probable token has weight 1 and passes every filter").id
}

/// Natural logarithms of probabilities under the model itself, before bias, penalties and filters.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token drawn.
    pub id: TokenId,
    /// Its log-probability.
    pub logprob: f64,
    /// The most probable tokens with theirs, best first, as many as asked for.
    pub top: Vec<(TokenId, f64)>,
}

/// log-softmax of `logits` at `id` and at the `top` first-ranking tokens.
pub fn logprobs(logits: &[f32], id: TokenId, top: usize) -> TokenLogprobs {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|&l| (f64::from(l) - f64::from(highest)).exp()).sum();
    let log_total = f64::from(highest) + total.ln();
    let of = |logit: f32| f64::from(logit) - log_total;
    let mut best = Vec::new();
    if top > 0 {
        top_k(&mut best, logits, top);
        best.sort_unstable_by(Candidate::before);
    }
    TokenLogprobs {
        id,
        logprob: logits.get(id.index()).map_or(f64::NEG_INFINITY, |&l| of(l)),
        top: best.iter().map(|c| (c.id, of(c.logit))).collect(),
    }
}
