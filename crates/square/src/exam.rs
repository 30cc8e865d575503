//! The examination: questions about the square that were never asked in training, marked by truth.
//!
//! It asks about facts stated in posts but not asked about in that language, and never uses a question
//! that stands in the training text. It does not run a model.

use super::phrases::{Attribute, phrases};
use super::{Fact, Noun, Square};
use serde::Serialize;
use std::collections::BTreeSet;
use stoa_posts::Language;
use stoa_random::Draws;

/// A question with its truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// The language it is asked in.
    pub language: Language,
    /// What it is about: the name of an `Attribute`.
    pub kind: String,
    /// Values of which one must be named.
    pub accepted: Vec<String>,
    /// Values of the same attribute, in either language, of which none may be named.
    pub wrong: Vec<String>,
    /// The sentence the square would answer with.
    pub answer: String,
    /// The commonest value of the attribute in the square: the best guess without reading.
    pub commonest: String,
}

/// Up to `count` different questions, drawn by `seed` from the pool of all that were not `seen` in
/// the training text. Attributes and languages appear as often as they do in the pool.
pub fn exam(
    square: &Square,
    seed: u64,
    count: usize,
    seen: impl Fn(&str) -> bool,
) -> Vec<Question> {
    let mut pool: Vec<(&Fact, Language, String)> = Vec::new();
    for fact in &square.facts {
        for language in Language::SPOKEN {
            if !fact.asked_in(language) {
                for pattern in phrases(fact.attribute, language).questions {
                    let text = pattern.replace("{n}", square.subject(fact));
                    pool.push((fact, language, text));
                }
            }
        }
    }
    Draws::new(seed, "exam").shuffle(&mut pool);
    pool.into_iter()
        .filter(|(_, _, text)| !seen(text))
        .take(count)
        .map(|(fact, language, text)| question(square, fact, language, text))
        .collect()
}

fn question(square: &Square, fact: &Fact, language: Language, text: String) -> Question {
    let value = square.value(fact);
    let subject = square.subject(fact);
    let accepted = vec![value.word(language).to_string()];
    let mut wrong = BTreeSet::new();
    let named: Vec<&str> = match fact.attribute {
        // Any person may be named wrongly as a teacher or mayor, not only those who are one.
        Attribute::Teacher | Attribute::Mayor => square.people.iter().map(String::as_str).collect(),
        _ => {
            let words = |noun| Language::SPOKEN.map(|language| Noun::word(noun, language));
            square.values(fact.attribute).iter().flat_map(words).collect()
        }
    };
    for word in named {
        let own = Language::SPOKEN.iter().any(|&language| value.word(language) == word);
        if !own && word != subject {
            wrong.insert(word.to_string());
        }
    }
    Question {
        text,
        language,
        kind: fact.attribute.name().to_string(),
        accepted,
        wrong: wrong.into_iter().collect(),
        answer: square.answer(fact, language),
        commonest: commonest(square, fact.attribute).word(language).to_string(),
    }
}

fn commonest(square: &Square, attribute: Attribute) -> &Noun {
    let values = square.values(attribute);
    let mut uses = vec![0_usize; values.len()];
    square.facts.iter().filter(|fact| fact.attribute == attribute).for_each(|fact| {
        uses[fact.value] += 1;
    });
    let best = (0..values.len()).rev().max_by_key(|&value| uses[value]).unwrap_or(0);
    &values[best]
}

/// Whether an answer is right: it names an accepted value, as whole words, and no other value of the
/// attribute. Case and signs do not matter, accents do.
pub fn mark(question: &Question, answer: &str) -> bool {
    let words = words(answer);
    question.accepted.iter().any(|value| names(&words, value))
        && !question.wrong.iter().any(|value| names(&words, value))
}

/// Share of the questions that would be marked right if the commonest value of the attribute were
/// always named.
pub fn majority_baseline(questions: &[Question]) -> f64 {
    if questions.is_empty() {
        return 0.0;
    }
    let right = questions.iter().filter(|question| mark(question, &question.commonest)).count();
    right as f64 / questions.len() as f64
}

fn words(text: &str) -> Vec<String> {
    stoa_posts::normal_form(text).split(' ').map(str::to_string).collect()
}

fn names(answer: &[String], value: &str) -> bool {
    let value = words(value);
    answer.windows(value.len()).any(|window| window == value)
}
