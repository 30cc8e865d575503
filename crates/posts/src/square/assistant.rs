//! Dialogues between people and the assistant, for fine-tuning.
//!
//! Only the facts chosen for asking appear here, so that `exam` can ask about the others. Every answer
//! to a question about a fact is the canonical statement, the form pretraining has shown most.

use super::chatter::{self, Sum};
use super::debates::{self, Side, TOPICS};
use super::names::Namer;
use super::phrases::phrases;
use super::{Fact, Square, Subject};
use crate::corpus::Dialogue;
use crate::draws::Draws;
use crate::post::Language;

/// Every dialogue of the square, in an order drawn from its seed.
pub(super) fn dialogues(square: &Square) -> Vec<Dialogue> {
    let mut draws = Draws::new(square.seed, "dialogues");
    let mut dialogues = Vec::new();
    for language in Language::SPOKEN {
        dialogues.extend(fact_dialogues(square, language, &mut draws));
        dialogues.extend(unknown_dialogues(square, language, &mut draws));
        dialogues.extend(debate_dialogues(language));
        dialogues.extend(small_talk_dialogues(language));
        dialogues.extend(Sum::all().into_iter().map(|sum| {
            Dialogue::alternating(language, [sum.question(language), sum.statement(language)])
        }));
    }
    draws.shuffle(&mut dialogues);
    dialogues
}

/// Each fact chosen for asking, in `questions_per_fact` different phrasings; a quarter of the
/// dialogues go on with a question without the name.
fn fact_dialogues(square: &Square, language: Language, draws: &mut Draws) -> Vec<Dialogue> {
    let asked: Vec<&Fact> = square.facts.iter().filter(|fact| fact.asked_in(language)).collect();
    let mut dialogues = Vec::new();
    for fact in &asked {
        let mut patterns = phrases(fact.attribute, language).questions;
        draws.shuffle(&mut patterns);
        for pattern in patterns.into_iter().take(square.config.questions_per_fact) {
            let question = pattern.replace("{n}", square.subject(fact));
            let mut utterances = vec![question, square.answer(fact, language)];
            let others: Vec<&&Fact> = asked
                .iter()
                .filter(|other| other.subject == fact.subject && other.attribute != fact.attribute)
                .collect();
            if !others.is_empty() && draws.chance(1, 4) {
                let other = draws.pick(&others);
                utterances.push(phrases(other.attribute, language).follow_up.to_string());
                utterances.push(square.answer(other, language));
            }
            dialogues.push(Dialogue::alternating(language, utterances));
        }
    }
    dialogues
}

/// Questions about people and towns that are not of the square.
fn unknown_dialogues(square: &Square, language: Language, draws: &mut Draws) -> Vec<Dialogue> {
    // A namer that knows the names in use cannot invent one of them.
    let mut namer = Namer::new(square.seed);
    for _ in &square.people {
        namer.person();
    }
    for _ in &square.places {
        namer.place();
    }
    let skipped = if language == Language::French { square.config.unknown_dialogues } else { 0 };
    for _ in 0..skipped {
        namer.person();
    }
    (0..square.config.unknown_dialogues / 2)
        .map(|_| {
            let fact = draws.pick(&square.facts);
            let name = match fact.subject {
                Subject::Person(_) => namer.person(),
                Subject::Place(_) => namer.place(),
            };
            let pattern = *draws.pick(&phrases(fact.attribute, language).questions);
            let answer = match language {
                Language::French => format!("Je ne connais pas {name}."),
                _ => format!("I do not know {name}."),
            };
            Dialogue::alternating(language, [pattern.replace("{n}", &name), answer])
        })
        .collect()
}

/// Questions about each topic; answers give an argument of each side, either side first as often.
fn debate_dialogues(language: Language) -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for topic in TOPICS {
        let wording = topic.wording(language);
        for (question_index, question) in debates::questions(language).iter().enumerate() {
            for (pro_index, pro) in wording.pro.iter().enumerate() {
                let contra = wording.contra[(pro_index + question_index) % wording.contra.len()];
                for first in [Side::For, Side::Against] {
                    let question = question.replace("{t}", wording.proposal);
                    let answer = debates::both_sides(first, pro, contra, language);
                    dialogues.push(Dialogue::alternating(language, [question, answer]));
                }
            }
        }
    }
    dialogues
}

/// How often each exchange of small talk is repeated: it is short, and should be known by heart.
const SMALL_TALK_TIMES: usize = 4;

fn small_talk_dialogues(language: Language) -> Vec<Dialogue> {
    let mut dialogues = Vec::new();
    for (openings, answer) in chatter::small_talk(language) {
        for opening in *openings {
            for _ in 0..SMALL_TALK_TIMES {
                dialogues.push(Dialogue::alternating(language, [*opening, *answer]));
            }
        }
    }
    dialogues
}
