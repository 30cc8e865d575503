//! What programs answer to the same questions, and how it is compared.

use std::fmt;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::bench::decode::distance;

/// Two best tokens closer than this, in standard deviations of the logits, are one to programs that
/// add in another order.
pub(super) const NEAR: f64 = 1e-4;

/// What a program says of a text.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    /// The text, rendered by the template where it was a question.
    pub(super) text: String,
    /// Its token ids.
    pub(super) ids: Vec<u32>,
    /// Logits after the last of them.
    pub(super) logits: Vec<f64>,
    /// The most likely tokens that follow.
    pub(super) greedy: Vec<u32>,
    /// How far the best was above the second at each of them, in standard deviations of the logits.
    #[serde(default)]
    pub(super) margins: Vec<f64>,
    /// What they say up to the end of the answer.
    #[serde(default)]
    pub(super) answer: String,
}

/// The answers of one program, in the order of the questions.
#[derive(Clone, Debug)]
pub(super) struct Answers(pub(super) Vec<Answer>);

/// How many greedy tokens are equal.
pub(super) struct Greedy {
    equal: usize,
    near: usize,
}

impl fmt::Display for Greedy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "ids equal, {} greedy tokens equal, {} answers apart where the two best are closer than {NEAR:.0e}",
            self.equal, self.near
        )
    }
}

impl Answers {
    /// Runs a program, whose last line is `{"answers": […]}`.
    pub(super) fn of(command: &mut Command) -> anyhow::Result<Self> {
        let output = command.output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        let mut value: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
        let answers = serde_json::from_value(value["answers"].take());
        Ok(Answers(answers.context("no answers in the output")?))
    }

    pub(super) fn texts(&self) -> anyhow::Result<Vec<&str>> {
        ensure!(!self.0.is_empty(), "there are no answers");
        Ok(self.0.iter().map(|answer| answer.text.as_str()).collect())
    }

    /// That ids and greedy tokens are those of a reference, but for ties.
    pub(super) fn same_tokens(&self, reference: &Answers, name: &str) -> anyhow::Result<Greedy> {
        ensure!(self.0.len() == reference.0.len(), "{name}: answers are missing");
        let mut greedy = Greedy { equal: 0, near: 0 };
        for (ours, theirs) in self.0.iter().zip(&reference.0) {
            let text = &theirs.text;
            let (a, b) = (&ours.ids, &theirs.ids);
            ensure!(a == b && !a.is_empty(), "{text:?}: ids {a:?}, of {name} {b:?}");
            let (a, b) = (&ours.greedy, &theirs.greedy);
            ensure!(a.len() == b.len() && !a.is_empty(), "{text:?}: {name} writes another length");
            let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
            greedy.equal += same;
            if same < a.len() {
                let margin = theirs.margins.get(same).copied().unwrap_or(f64::INFINITY);
                ensure!(
                    margin < NEAR,
                    "{text:?}: greedy tokens {a:?}, of {name} {b:?}, whose best are {margin:.1e} apart"
                );
                greedy.near += 1;
            }
        }
        Ok(greedy)
    }

    /// How many greedy tokens two programs begin with alike.
    pub(super) fn alike(&self, other: &Answers) -> String {
        let pairs = || self.0.iter().zip(&other.0);
        let same: usize = pairs()
            .map(|(a, b)| a.greedy.iter().zip(&b.greedy).take_while(|(a, b)| a == b).count())
            .sum();
        let all: usize = pairs().map(|(a, _)| a.greedy.len()).sum();
        format!("{same} of {all} greedy tokens before the first that differs")
    }
}

/// Distances of logits, as shares of their standard deviation: of each pair of programs the root mean
/// square over the vocabulary, the largest and the mean of all questions.
pub(super) struct Distances {
    model: &'static str,
    rows: Vec<(String, f64, f64)>,
}

impl Distances {
    pub(super) fn new(model: &'static str) -> Self {
        Distances { model, rows: Vec::new() }
    }

    /// Adds a pair; gives the largest distance.
    pub(super) fn add(&mut self, pair: &str, a: &Answers, b: &Answers) -> anyhow::Result<f64> {
        let all: Vec<f64> =
            a.0.iter()
                .zip(&b.0)
                .map(|(a, b)| distance(&a.logits, &b.logits))
                .collect::<anyhow::Result<_>>()?;
        let most = all.iter().copied().fold(0.0, f64::max);
        ensure!(!all.is_empty() && most.is_finite(), "{pair}: logits are not numbers");
        self.rows.push((pair.to_owned(), most, all.iter().sum::<f64>() / all.len() as f64));
        Ok(most)
    }
}

impl fmt::Display for Distances {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model;
        write!(formatter, "{model}: logits apart, in their standard deviations (largest, mean)")?;
        for (pair, most, mean) in &self.rows {
            write!(formatter, "\n  {pair:<28} {most:.1e} {mean:.1e}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(ids: &[u32], greedy: &[u32], margins: &[f64]) -> Answers {
        Answers(vec![Answer {
            text: "text".to_owned(),
            ids: ids.to_vec(),
            logits: vec![0.0, 1.0, 2.0],
            greedy: greedy.to_vec(),
            margins: margins.to_vec(),
            answer: String::new(),
        }])
    }

    #[test]
    fn tokens_may_differ_only_where_the_two_best_are_one() {
        let theirs = one(&[1, 2], &[5, 6, 7], &[1.0, 1e-5, 1.0]);
        let same = |ours: &Answers| ours.same_tokens(&theirs, "it").map(|g| (g.equal, g.near));
        assert_eq!(same(&one(&[1, 2], &[5, 6, 7], &[])).expect("equal"), (3, 0));
        assert_eq!(same(&one(&[1, 2], &[5, 9, 9], &[])).expect("a tie"), (1, 1));
        assert!(same(&one(&[1, 2], &[5, 6, 9], &[])).is_err(), "no tie");
        assert!(same(&one(&[1, 3], &[5, 6, 7], &[])).is_err(), "other ids");
        assert!(same(&one(&[1, 2], &[5, 6], &[])).is_err(), "too short");
        assert!(same(&Answers(Vec::new())).is_err(), "no answers");
    }
}
