//! Personal data by script and kind: a generated public, and what masking makes of it.

mod bench;

use bench::contexts::Script;
use bench::score::{scores, tables};
use bench::{Half, Holds, examples, masked};
use std::collections::{BTreeMap, BTreeSet};

/// The seed of the published figures.
const SEED: u64 = 10;

#[test]
fn every_script_has_its_sentences() {
    for half in Half::ALL {
        let made = examples(SEED, half);
        assert_eq!(made, examples(SEED, half), "a function of the seed");
        let mut counts: BTreeMap<Script, [usize; 2]> = BTreeMap::new();
        for example in &made {
            let personal = matches!(example.holds, Holds::Personal { .. });
            counts.entry(example.script).or_default()[usize::from(personal)] += 1;
        }
        assert_eq!(counts.len(), Script::ALL.len());
        assert!(counts.values().flatten().all(|&count| count >= 200), "{counts:?}");
    }
}

#[test]
fn no_sentence_is_in_both_halves() {
    for script in Script::ALL {
        let all = |contexts: &bench::contexts::Contexts| {
            [contexts.any, contexts.phone, contexts.machine, contexts.version].concat()
        };
        let seen: Vec<&str> = bench::development(script).into_iter().flat_map(all).collect();
        let held_out = all(bench::held_out::held_out(script));
        assert!(held_out.len() >= 14, "{script:?}");
        assert!(held_out.iter().all(|sentence| !seen.contains(sentence)), "{script:?}");
    }
}

#[test]
fn the_figures_are_those_of_the_mask() {
    let made = examples(SEED, Half::Development);
    let nothing = scores(&made, str::to_string);
    let everything = scores(&made, |_| "[email]".to_string());
    let answers: BTreeMap<String, String> = made
        .iter()
        .map(|example| match &example.holds {
            Holds::Personal { before, after, placeholder, .. } => {
                (example.text.clone(), format!("{before}{placeholder}{after}"))
            }
            Holds::LookAlike(_) => (example.text.clone(), example.text.clone()),
        })
        .collect();
    let perfect = scores(&made, |text| answers[text].clone());
    for script in Script::ALL {
        assert_eq!((nothing.of(script).recall(), nothing.of(script).wrong), (0.0, 0));
        assert_eq!(everything.of(script).precision(), 0.0);
        let perfect = perfect.of(script);
        assert_eq!((perfect.recall(), perfect.precision()), (1.0, 1.0), "{script:?}");
    }
    assert_eq!(perfect.wrong, []);
    let classes: BTreeSet<&str> = perfect.classes.keys().map(|(_, class)| *class).collect();
    assert_eq!(classes.len(), 45, "those of the development sentences");
    let rows = tables(&perfect).lines().filter(|line| line.contains("1.00")).count();
    assert_eq!(rows, 2 + bench::formats::Kind::ALL.len() + classes.len());
}

/// Least recall and precision in each script.
const RECALL: f64 = 0.98;
const PRECISION: f64 = 0.95;

#[test]
fn every_script_passes_the_bar() {
    for half in Half::ALL {
        let scores = scores(&examples(SEED, half), masked);
        for script in Script::ALL {
            let counts = scores.of(script);
            let passes = counts.recall() >= RECALL && counts.precision() >= PRECISION;
            assert!(passes, "{script:?}, {} half:\n{}", half.name(), tables(&scores));
        }
    }
}
