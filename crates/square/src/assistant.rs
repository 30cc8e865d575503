//! Dialogues between people and the assistant, for fine-tuning.
//!
//! Only the facts chosen for asking appear here, so that `exam` can ask about the others. Every answer
//! to a question about a fact is the canonical statement, the form pretraining has shown most.

use super::chatter::{self, Sum};
use super::debates::{self, Side, TOPICS};
use super::names::Namer;
use super::phrases::phrases;
use super::{Fact, Square, Subject, language_index};
use stoa_dialogue::Dialogue;
use stoa_posts::Language;
use stoa_random::Draws;

/// Every dialogue of the square, in an order drawn from its seed.
pub(super) fn dialogues(square: &Square) -> Vec<Dialogue> {
    let mut draws = Draws::new(square.seed, "dialogues");
    let mut dialogues = Vec::new();
    for language in Language::SPOKEN {
        dialogues.extend(fact_dialogues(square, language, &mut draws));
        dialogues.extend(unknown_dialogues(square, language, &mut draws));
        dialogues.extend(debate_dialogues(language));
        dialogues.extend(small_talk_dialogues(language));
        dialogues.extend(
            Sum::all().into_iter().map(|sum| {
                Dialogue::alternating([sum.question(language), sum.statement(language)])
            }),
        );
    }
    draws.shuffle(&mut dialogues);
    dialogues
}

/// Each fact chosen for asking, in `questions_per_fact` different phrasings; a quarter of the
/// dialogues continue with a question without the name.
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
            dialogues.push(Dialogue::alternating(utterances));
        }
    }
    dialogues
}

/// Questions about people and towns that are not of the square. The answer does not repeat the name:
/// a small model cannot spell one it never met.
fn unknown_dialogues(square: &Square, language: Language, draws: &mut Draws) -> Vec<Dialogue> {
    let known = square.people.iter().chain(&square.places);
    let mut namer =
        Namer::of_strangers(square.seed.wrapping_add(language_index(language) as u64), known);
    (0..square.config.unknown_dialogues / 2)
        .map(|_| {
            let fact = draws.pick(&square.facts);
            let (name, answer) = match (fact.subject, language) {
                (Subject::Person(_), Language::French) => {
                    (namer.person(), "Je ne connais pas cette personne.")
                }
                (Subject::Place(_), Language::French) => {
                    (namer.place(), "Je ne connais pas cette ville.")
                }
                (Subject::Person(_), _) => (namer.person(), "I do not know this person."),
                (Subject::Place(_), _) => (namer.place(), "I do not know this town."),
            };
            let pattern = *draws.pick(&phrases(fact.attribute, language).questions);
            Dialogue::alternating([pattern.replace("{n}", &name), answer.to_string()])
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
                    dialogues.push(Dialogue::alternating([question, answer]));
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
                dialogues.push(Dialogue::alternating([*opening, *answer]));
            }
        }
    }
    dialogues
}
