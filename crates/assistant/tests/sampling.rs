//! Sampling against its slow obvious twin, against Hugging Face's processors, and against the
//! distribution it claims to draw from.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stoa_assistant::{Sampler, Sampling, TokenId, logprobs};
use stoa_random::uniform;

/// The definition: sort everything, apply one filter after the other, walk the rest by id.
fn slow_draw(s: &Sampling, prompt: &[u32], answer: &[u32], logits: &[f32]) -> Option<u32> {
    let mut adjusted = logits.to_vec();
    for (id, logit) in adjusted.iter_mut().enumerate() {
        let id = id as u32;
        if let Some(bias) = s.logit_bias.get(&TokenId(id)) {
            *logit += bias;
        }
        let count = answer.iter().filter(|&&a| a == id).count();
        if prompt.contains(&id) || count > 0 {
            *logit = if *logit < 0.0 {
                *logit * s.repetition_penalty
            } else {
                *logit / s.repetition_penalty
            };
        }
        if count > 0 {
            *logit -= s.frequency_penalty * count as f32 + s.presence_penalty;
        }
    }
    // + 0.0 makes −0 rank as 0.
    let mut ranked: Vec<(u32, f64)> =
        (0..).zip(adjusted.iter().map(|&l| f64::from(l) + 0.0)).collect();
    ranked.retain(|&(_, l)| l > f64::NEG_INFINITY);
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let highest = ranked.first()?.1;
    if s.temperature == 0.0 {
        return Some(ranked[0].0);
    }
    if s.top_k > 0 {
        ranked.truncate(s.top_k);
    }
    let weight = |l: f64| ((l - highest) / f64::from(s.temperature)).exp();
    if s.top_p < 1.0 {
        let mut by_id = ranked.clone();
        by_id.sort_by_key(|c| c.0);
        let total: f64 = by_id.iter().map(|c| weight(c.1)).sum();
        let mut sum = 0.0;
        let reached = ranked.iter().position(|c| {
            sum += weight(c.1);
            sum >= f64::from(s.top_p) * total
        });
        ranked.truncate(reached.map_or(ranked.len(), |i| i + 1));
    }
    ranked.retain(|c| weight(c.1) >= f64::from(s.min_p));
    ranked.sort_by_key(|c| c.0);
    let total: f64 = ranked.iter().map(|c| weight(c.1)).sum();
    let target = uniform(s.seed, answer.len() as u64) * total;
    let mut sum = 0.0;
    for &(id, l) in &ranked {
        sum += weight(l);
        if sum > target {
            return Some(id);
        }
    }
    ranked.iter().rev().find(|c| weight(c.1) > 0.0).map(|c| c.0)
}

fn settings() -> impl Strategy<Value = Sampling> {
    let temperature = prop_oneof![Just(0.0f32), Just(1.0), 0.05f32..3.0];
    let top_k = prop_oneof![Just(0usize), Just(1), 1usize..40];
    let top_p = prop_oneof![Just(1.0f32), Just(0.0), 0.0f32..1.0];
    let min_p = prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..0.5];
    let penalties =
        prop_oneof![Just((1.0f32, 0.0f32, 0.0f32)), (0.5f32..2.0, -1.0f32..2.0, -1.0f32..2.0)];
    let bias = prop::collection::btree_map(
        0u32..30,
        prop_oneof![Just(f32::NEG_INFINITY), -5.0f32..5.0],
        0..4,
    );
    (temperature, top_k, top_p, min_p, penalties, bias, any::<u64>()).prop_map(
        |(temperature, top_k, top_p, min_p, penalties, bias, seed)| Sampling {
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty: penalties.0,
            frequency_penalty: penalties.1,
            presence_penalty: penalties.2,
            logit_bias: bias.into_iter().map(|(id, b)| (TokenId(id), b)).collect(),
            seed,
        },
    )
}

/// Logits with many exact ties, zeros of both signs and forbidden tokens.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        (-3i8..4).prop_map(f32::from),
        -20.0f32..20.0,
        Just(-0.0f32),
        Just(f32::NEG_INFINITY),
    ];
    prop::collection::vec(logit, 30..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Default::default() })]

    /// Exactly: both twins add the same f64 numbers in the same order.
    #[test]
    fn equals_its_definition(
        s in settings(), prompt in prop::collection::vec(0u32..40, 0..6), logits in logits(),
    ) {
        let vocab = logits.len();
        let ids: Vec<TokenId> = prompt.iter().copied().map(TokenId).collect();
        let mut sampler = Sampler::new(&s, &ids, vocab).unwrap();
        let mut answer = Vec::new();
        for _ in 0..4 {
            let fast = sampler.draw(&mut logits.clone()).ok().map(|id| id.0);
            prop_assert_eq!(fast, slow_draw(&s, &prompt, &answer, &logits));
            match fast {
                Some(id) => answer.push(id),
                None => break,
            }
        }
    }

    /// Log-probabilities sum to one and rank as the logits do.
    #[test]
    fn logprobs_are_those_of_the_softmax(logits in logits(), top in 0usize..5) {
        prop_assume!(logits.iter().any(|l| l.is_finite()));
        let all: Vec<_> = (0..logits.len()).map(|i| logprobs(&logits, TokenId(i as u32), top)).collect();
        let sum: f64 = all.iter().map(|l| l.logprob.exp()).sum();
        // 150 additions of f64 numbers below 1.
        prop_assert!((sum - 1.0).abs() < 1e-12, "{}", sum);
        let mut best: Vec<_> = all.iter().filter(|l| l.logprob > f64::NEG_INFINITY).collect();
        best.sort_by(|a, b| b.logprob.partial_cmp(&a.logprob).unwrap());
        let expected: Vec<_> = best.iter().take(top).map(|l| (l.id, l.logprob)).collect();
        prop_assert_eq!(&all[0].top, &expected);
    }
}

#[test]
fn draws_follow_the_distribution_they_claim() {
    let logits: Vec<f32> = (0..40).map(|i| ((i * 7919) % 40) as f32 * 0.12).collect();
    let settings = [
        Sampling::default(),
        Sampling { temperature: 0.6, top_k: 12, ..Sampling::default() },
        Sampling { top_p: 0.7, min_p: 0.05, ..Sampling::default() },
    ];
    for s in settings {
        let expected =
            Sampler::new(&s, &[], 40).unwrap().distribution(&mut logits.clone()).unwrap();
        const DRAWS: u32 = 40_000;
        let mut counts: BTreeMap<TokenId, u32> = BTreeMap::new();
        let mut sampler = Sampler::new(&s, &[], 40).unwrap();
        for _ in 0..DRAWS {
            *counts.entry(sampler.draw(&mut logits.clone()).unwrap()).or_default() += 1;
        }
        assert!(counts.keys().all(|id| expected.iter().any(|(e, _)| e == id)));
        let chi_square: f64 = expected
            .iter()
            .map(|&(id, p)| {
                let mean = p * f64::from(DRAWS);
                (f64::from(counts.get(&id).copied().unwrap_or(0)) - mean).powi(2) / mean
            })
            .sum();
        // Wilson–Hilferty: the 99.9 % quantile of χ² with k degrees of freedom.
        let k = (expected.len() - 1) as f64;
        let quantile = k * (1.0 - 2.0 / (9.0 * k) + 3.09 * (2.0 / (9.0 * k)).sqrt()).powi(3);
        assert!(chi_square < quantile, "{chi_square} ≥ {quantile} for {s:?}");
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_equals() {
    let mut sampler = Sampler::new(&Sampling::greedy(), &[], 4).unwrap();
    assert_eq!(sampler.draw(&mut [-0.0, 0.0, -1.0, 0.0]).unwrap(), TokenId(0));
    assert_eq!(sampler.draw(&mut [-3.0, 2.0, 1.0, 2.0]).unwrap(), TokenId(1));
}

#[test]
fn what_is_not_a_number_is_an_error_that_names_the_token() {
    let mut sampler = Sampler::new(&Sampling::default(), &[], 3).unwrap();
    let message =
        |r: Result<TokenId, _>| r.map_err(|e: stoa_assistant::AssistantError| e.to_string());
    let error = message(sampler.draw(&mut [0.0, f32::NAN, 1.0])).unwrap_err();
    assert!(error.contains("token 1") && error.contains("NaN"), "{error}");
    let error = message(sampler.draw(&mut [0.0, 1.0, f32::INFINITY])).unwrap_err();
    assert!(error.contains("token 2"), "{error}");
    let error = message(sampler.draw(&mut [f32::NEG_INFINITY; 3])).unwrap_err();
    assert!(error.contains("every token is forbidden"), "{error}");
}

#[test]
fn settings_outside_their_range_are_refused_by_name() {
    let refused = |change: fn(&mut Sampling)| {
        let mut s = Sampling::default();
        change(&mut s);
        s.validate(10).unwrap_err().to_string()
    };
    assert!(refused(|s| s.temperature = -0.1).contains("temperature is -0.1"));
    assert!(refused(|s| s.temperature = f32::NAN).contains("temperature"));
    assert!(refused(|s| s.top_p = 1.5).contains("top_p"));
    assert!(refused(|s| s.min_p = -1.0).contains("min_p"));
    assert!(refused(|s| s.repetition_penalty = 0.0).contains("repetition_penalty"));
    assert!(refused(|s| s.frequency_penalty = f32::INFINITY).contains("frequency_penalty"));
    assert!(refused(|s| s.presence_penalty = f32::NAN).contains("presence_penalty"));
    assert!(
        refused(|s| {
            s.logit_bias.insert(TokenId(3), f32::NAN);
        })
        .contains("logit_bias")
    );
    assert!(
        refused(|s| {
            s.logit_bias.insert(TokenId(10), 1.0);
        })
        .contains("token 10")
    );
}
