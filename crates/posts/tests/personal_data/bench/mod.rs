//! A public of sentences with personal data and with look-alikes, by script and kind, and how well
//! they are masked. A pure function of a seed; rules are written with some sentences, others are held out.

pub mod contexts;
mod digits;
pub mod formats;
pub mod held_out;
mod look_alikes;
pub mod score;

use contexts::{Contexts, Script, contexts};
use formats::{Kind, Place};
use stoa_posts::normalise::Handles;
use stoa_posts::pii::{self, PiiKind};
use stoa_random::Draws;

pub use look_alikes::CLASSES;

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

/// Sentences of each kind, and of each class of look-alikes, for each script and half.
const OF_A_KIND: usize = 30;
const OF_A_CLASS: usize = 10;

/// All sentences of a half.
pub fn examples(seed: u64, half: Half) -> Vec<Example> {
    let mut found = Vec::new();
    for script in Script::ALL {
        let sentences: Vec<&Contexts> = match half {
            Half::Development => contexts(script).iter().collect(),
            Half::HeldOut => vec![held_out::held_out(script)],
        };
        let mut draws = Draws::new(seed, &format!("{script:?} {}", half.name()));
        for kind in Kind::ALL {
            for _ in 0..OF_A_KIND {
                let item = formats::item(kind, script, &mut draws);
                let (start, end) = around(&sentences, item.place, &mut draws);
                let before = format!("{start}{}", item.before);
                let after = format!("{}{end}", item.after);
                let text = format!("{before}{}{after}", item.personal);
                let placeholder = item.placeholder;
                let holds = Holds::Personal { kind, before, after, placeholder };
                found.push(Example { script, text, holds });
            }
        }
        for class in CLASSES {
            for _ in 0..OF_A_CLASS {
                let (text, place) = look_alikes::look_alike(class, script, &mut draws);
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
