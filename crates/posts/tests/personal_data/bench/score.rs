//! Precision and recall of a mask over sentences, by script, kind and class.

use super::contexts::Script;
use super::formats::Kind;
use super::{Example, Holds, classes};
use std::collections::BTreeMap;

/// How sentences came out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Personal data behind one placeholder of its kind, and every other letter in place.
    pub right: u64,
    /// Personal data that stays, or stays in part, or took something else with it.
    pub missed: u64,
    /// Sentences in which something else was masked.
    pub wrong: u64,
    /// Sentences with nothing personal.
    pub look_alikes: u64,
}

impl Counts {
    /// The share of personal data that was masked right.
    pub fn recall(&self) -> f64 {
        self.right as f64 / (self.right + self.missed).max(1) as f64
    }

    /// The share of masks that are right.
    pub fn precision(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong).max(1) as f64
    }

    /// Adds other sentences.
    pub fn add(&mut self, other: &Counts) {
        self.right += other.right;
        self.missed += other.missed;
        self.wrong += other.wrong;
        self.look_alikes += other.look_alikes;
    }
}

/// The figures of a half.
pub struct Scores {
    /// By script and kind.
    pub kinds: BTreeMap<(Script, Kind), Counts>,
    /// By script and class of look-alikes.
    pub classes: BTreeMap<(Script, &'static str), Counts>,
    /// Sentences that did not come out right, with what became of them.
    pub wrong: Vec<(Example, String)>,
}

impl Scores {
    /// All sentences of a script.
    pub fn of(&self, script: Script) -> Counts {
        let mut sum = Counts::default();
        self.kinds.iter().filter(|((of, _), _)| *of == script).for_each(|(_, one)| sum.add(one));
        self.classes.iter().filter(|((of, _), _)| *of == script).for_each(|(_, one)| sum.add(one));
        sum
    }
}

/// Masks every sentence.
pub fn scores(examples: &[Example], mask: impl Fn(&str) -> String) -> Scores {
    let mut scores = Scores { kinds: BTreeMap::new(), classes: BTreeMap::new(), wrong: Vec::new() };
    for example in examples {
        let masked = mask(&example.text);
        let right = match &example.holds {
            Holds::LookAlike(class) => {
                let counts = scores.classes.entry((example.script, *class)).or_default();
                counts.look_alikes += 1;
                let right = masked == example.text;
                counts.wrong += u64::from(!right);
                right
            }
            Holds::Personal { kind, before, after, placeholder } => {
                let counts = scores.kinds.entry((example.script, *kind)).or_default();
                let right = is_masked(&masked, before, after, placeholder);
                counts.right += u64::from(right);
                counts.missed += u64::from(!right);
                counts.wrong += u64::from(!right && masked != example.text);
                right
            }
        };
        if !right {
            scores.wrong.push((example.clone(), masked));
        }
    }
    scores
}

/// Whether one placeholder stands between both sides.
fn is_masked(masked: &str, before: &str, after: &str, placeholder: &str) -> bool {
    let Some(mask) = masked.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) else {
        return false;
    };
    let Some(number) = mask.strip_prefix(placeholder) else { return false };
    number.chars().all(|digit| digit.is_ascii_digit())
}

/// The figures as tables in Markdown: precision and recall by script, recall and precision by kind,
/// and how many look-alikes of each class were left alone.
pub fn tables(scores: &Scores) -> String {
    let head = |first: &str| {
        let names: Vec<String> = Script::ALL.iter().map(|script| format!("{script:?}")).collect();
        format!("| {first} | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1))
    };
    let row = |name: &str, cell: &dyn Fn(Script) -> String| {
        let cells: Vec<String> = Script::ALL.iter().map(|&script| cell(script)).collect();
        format!("| {name} | {} |\n", cells.join(" | "))
    };
    let mut text = head("all kinds");
    text += &row("recall", &|script| format!("{:.3}", scores.of(script).recall()));
    text += &row("precision", &|script| format!("{:.3}", scores.of(script).precision()));
    text += &format!("\n{}", head("recall / precision"));
    for kind in Kind::ALL {
        text += &row(&format!("{kind:?}"), &|script| {
            let counts = scores.kinds.get(&(script, kind)).copied().unwrap_or_default();
            format!("{:.2} / {:.2}", counts.recall(), counts.precision())
        });
    }
    text += &format!("\n{}", head("left alone"));
    let asked = |class: &&str| scores.classes.keys().any(|(_, of)| of == class);
    for class in classes().filter(asked) {
        text += &row(class, &|script| {
            let counts = scores.classes.get(&(script, class)).copied().unwrap_or_default();
            let alone = counts.look_alikes - counts.wrong;
            format!("{:.2}", alone as f64 / counts.look_alikes.max(1) as f64)
        });
    }
    text
}
