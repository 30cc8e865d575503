//! A public of sentences with personal data and with look-alikes, by script and kind, and how well
//! they are masked. A pure function of a seed; rules are written with some sentences, others are held out.

mod asked;
mod asked_forms;
mod asked_third;
pub mod contexts;
mod digits;
pub mod formats;
pub mod held_out;
mod held_out_forms;
mod look_alikes;
pub mod score;

use contexts::{Contexts, Script, contexts};
use formats::{Kind, Place};
use stoa_posts::normalise::Handles;
use stoa_posts::pii::{self, PiiKind};
use stoa_random::Draws;

/// Which sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Those that rules are written with.
    Development,
    /// Those that only judge them.
    HeldOut,
}

impl Half {
    /// Both.
    pub const ALL: [Half; 2] = [Half::Development, Half::HeldOut];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Half::Development => "development",
            Half::HeldOut => "held-out",
        }
    }
}

/// What stands in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Personal data of a kind; the text on both sides of it, and its placeholder's beginning.
    Personal { kind: Kind, before: String, after: String, placeholder: &'static str },
    /// A look-alike of a class.
    LookAlike(&'static str),
}

/// A sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its script.
    pub script: Script,
    /// All of it.
    pub text: String,
    /// What is in it.
    pub holds: Holds,
}

/// Every class of look-alikes, as the figures name it.
pub fn classes() -> impl Iterator<Item = &'static str> {
    let asked = look_alikes::CLASSES.into_iter().chain(asked_forms::CLASSES);
    asked.chain(held_out_forms::CLASSES)
}

/// The development sentences of a script.
pub fn development(script: Script) -> Vec<&'static Contexts> {
    contexts(script).iter().chain([asked::asked(script), asked_third::asked(script)]).collect()
}

/// Sentences of each kind, and of each class of look-alikes, for each script and half.
const OF_A_KIND: usize = 30;
const OF_A_CLASS: usize = 10;

/// All sentences of a half.
pub fn examples(seed: u64, half: Half) -> Vec<Example> {
    let mut found = Vec::new();
    for script in Script::ALL {
        let sentences: Vec<&Contexts> = match half {
            Half::Development => development(script),
            Half::HeldOut => vec![held_out::held_out(script)],
        };
        let mut draws = Draws::new(seed, &format!("{script:?} {}", half.name()));
        for kind in Kind::ALL {
            for _ in 0..OF_A_KIND {
                let item = match (half, draws.below(4)) {
                    (Half::HeldOut, 2..) => held_out_forms::item(kind, script, &mut draws),
                    (_, 1 | 3) => asked_forms::item(kind, script, &mut draws),
                    _ => formats::item(kind, script, &mut draws),
                };
                let (start, end) = around(&sentences, item.place, &mut draws);
                let before = format!("{start}{}", item.before);
                let after = format!("{}{end}", item.after);
                let text = format!("{before}{}{after}", item.personal);
                let placeholder = item.placeholder;
                let holds = Holds::Personal { kind, before, after, placeholder };
                found.push(Example { script, text, holds });
            }
        }
        let asked = |class: &&str| asked_forms::CLASSES.contains(class);
        let held_out = |class: &&str| held_out_forms::CLASSES.contains(class);
        for class in classes().filter(|class| half == Half::HeldOut || !held_out(class)) {
            for _ in 0..OF_A_CLASS {
                let (text, place) = match (asked(&class), held_out(&class)) {
                    (true, _) => (asked_forms::look_alike(class, &mut draws), Place::Any),
                    (_, true) => (held_out_forms::look_alike(class, &mut draws), Place::Any),
                    _ => look_alikes::look_alike(class, script, &mut draws),
                };
                let (start, end) = around(&sentences, place, &mut draws);
                let text = format!("{start}{text}{end}");
                found.push(Example { script, text, holds: Holds::LookAlike(class) });
            }
        }
    }
    found
}

/// The two sides of a sentence in which something may stand.
fn around(of: &[&Contexts], place: Place, draws: &mut Draws) -> (&'static str, &'static str) {
    let fitting = of.iter().flat_map(|contexts| match place {
        Place::Any | Place::Free => contexts.any,
        Place::Phone => contexts.phone,
        Place::Machine => contexts.machine,
        Place::Version => contexts.version,
    });
    let sentences: Vec<(&str, &str)> = fitting
        .map(|sentence| sentence.split_once("{}").expect("a place in every sentence"))
        .filter(|(start, end)| {
            let touches =
                start.ends_with(char::is_alphanumeric) || end.starts_with(char::is_alphanumeric);
            let joined = start.ends_with('-');
            place != Place::Free || !(touches || joined)
        })
        .collect();
    *draws.pick(&sentences)
}

/// A text as documents show it: personal data masked, handles numbered as in a thread.
pub fn masked(text: &str) -> String {
    let mut findings = pii::find(text);
    findings.retain(|finding| finding.kind != PiiKind::Handle);
    Handles::new().replace(&pii::mask(text, &findings))
}
