//! The sample square: a small invented public, generated from a seed, whose every truth is known.
//!
//! Same seed and sizes, same bytes. The square owns people, places and facts about them, and the
//! posts in which they are stated, debated, repeated, advertised and deleted. What is asked about in
//! training is decided here (`Fact::asked`), so that `exam` can ask about the rest.

mod assistant;
mod chatter;
mod debates;
mod error;
mod exam;
mod feed;
mod lexicon;
mod names;
mod phrases;

pub use debates::Side;
pub use exam::{Question, exam, majority_baseline, mark};
pub use feed::Truth;
pub use phrases::{Attribute, Noun};

pub use error::SquareError;
use lexicon::{COLLECTIONS, Entry, FOODS, Gender, INSTRUMENTS, PETS, PRODUCTS, TOOLS, TRADES};
use names::Namer;
use stoa_dialogue::Dialogue;
use stoa_posts::{Language, Post};
use stoa_random::Draws;

/// Sizes of the square. The default is learned by a model of two to four million parameters within
/// some minutes on two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SquareConfig {
    /// People who live in the square; each has up to eight attributes.
    pub people: usize,
    /// Towns; each has up to four attributes.
    pub places: usize,
    /// Attributes of people in use, of `Attribute::OF_PEOPLE` from the front.
    pub person_attributes: usize,
    /// Attributes of places in use, of `Attribute::OF_PLACES` from the front.
    pub place_attributes: usize,
    /// Posts that state a fact alone, for each fact and language; two more state it with another one.
    pub statements_per_fact: usize,
    /// Fewest statements of each fact and language that reach the training text.
    pub least_statements: usize,
    /// Questions asked in the training dialogues about each fact and language chosen for asking.
    pub questions_per_fact: usize,
    /// Dialogues about people and towns that do not exist.
    pub unknown_dialogues: usize,
    /// Debate posts for each topic, side and language.
    pub debate_posts: usize,
    /// Small-talk threads in each language.
    pub small_talk_threads: usize,
    /// Out of a thousand posts, how many appear again (half word for word, half altered).
    pub duplicates_per_thousand: usize,
    /// Out of a thousand posts, how many were deleted.
    pub deletions_per_thousand: usize,
    /// Out of a thousand people, how many refuse the use of their posts.
    pub refusals_per_thousand: usize,
    /// Spam posts.
    pub spam: usize,
}

impl Default for SquareConfig {
    fn default() -> SquareConfig {
        SquareConfig {
            people: 110,
            places: 30,
            person_attributes: 7,
            place_attributes: 4,
            statements_per_fact: 4,
            least_statements: 3,
            questions_per_fact: 2,
            unknown_dialogues: 240,
            debate_posts: 12,
            small_talk_threads: 120,
            duplicates_per_thousand: 30,
            deletions_per_thousand: 20,
            refusals_per_thousand: 40,
            spam: 120,
        }
    }
}

impl SquareConfig {
    fn check(&self) -> Result<(), SquareError> {
        let bounds = [
            ("people", self.people, 8, 5000),
            ("places", self.places, 4, 1000),
            ("person_attributes", self.person_attributes, 1, Attribute::OF_PEOPLE.len()),
            ("place_attributes", self.place_attributes, 0, Attribute::OF_PLACES.len()),
            // Three forms of statement in ten frames give thirty different posts of one fact.
            ("statements_per_fact", self.statements_per_fact, 1, 16),
            ("least_statements", self.least_statements, 1, 8),
            ("questions_per_fact", self.questions_per_fact, 1, 4),
            ("unknown_dialogues", self.unknown_dialogues, 0, 100_000),
            // Four frames and three arguments give twelve different posts of one side.
            ("debate_posts", self.debate_posts, 0, 12),
            ("small_talk_threads", self.small_talk_threads, 0, 400),
            ("duplicates_per_thousand", self.duplicates_per_thousand, 0, 500),
            ("deletions_per_thousand", self.deletions_per_thousand, 0, 200),
            ("refusals_per_thousand", self.refusals_per_thousand, 0, 500),
            ("spam", self.spam, 0, 1_000_000),
        ];
        for (name, given, lowest, highest) in bounds {
            if !(lowest..=highest).contains(&given) {
                return Err(SquareError::Size { name, given, lowest, highest });
            }
        }
        Ok(())
    }
}

/// Whom or what a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// Index into `Square::people`.
    Person(usize),
    /// Index into `Square::places`.
    Place(usize),
}

/// One truth of the square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Whom it is about.
    pub subject: Subject,
    /// What about them.
    pub attribute: Attribute,
    /// Index into the values of the attribute (`Square::values`).
    pub value: usize,
    /// Whether training dialogues and posts ask about it, in English and in French.
    pub asked: [bool; 2],
}

impl Fact {
    /// Whether it is asked about in training in this language.
    pub fn asked_in(&self, language: Language) -> bool {
        self.asked[language_index(language)]
    }
}

/// Place of a spoken language in per-language pairs.
pub(crate) fn language_index(language: Language) -> usize {
    usize::from(language == Language::French)
}

/// The square.
#[derive(Clone, Debug)]
pub struct Square {
    /// The seed it grew from.
    pub seed: u64,
    /// Its sizes.
    pub config: SquareConfig,
    /// Full names of people.
    pub people: Vec<String>,
    /// Names of places.
    pub places: Vec<String>,
    /// Everything that is true of them.
    pub facts: Vec<Fact>,
    /// Every post, with the ones that must not be used.
    pub posts: Vec<Post>,
    /// What is true of each post, in the order of `posts`.
    pub truth: Vec<Truth>,
    values: Vec<(Attribute, Vec<Noun>)>,
}

impl Square {
    /// Grows the square of a seed.
    pub fn generate(seed: u64, config: &SquareConfig) -> Result<Square, SquareError> {
        config.check()?;
        let mut namer = Namer::new(seed);
        let people: Vec<String> = (0..config.people).map(|_| namer.person()).collect();
        let places: Vec<String> = (0..config.places).map(|_| namer.place()).collect();
        let rivers: Vec<String> = (0..VALUES_OF_NAMES).map(|_| namer.river()).collect();
        let values = values(seed, &people, &places, &rivers, config);
        let facts = facts(seed, &people, &values, config);
        let mut square = Square {
            seed,
            config: config.clone(),
            people,
            places,
            facts,
            posts: Vec::new(),
            truth: Vec::new(),
            values,
        };
        (square.posts, square.truth) = feed::gather(&square);
        Ok(square)
    }

    /// The values an attribute can have.
    pub fn values(&self, attribute: Attribute) -> &[Noun] {
        self.values
            .iter()
            .find(|(candidate, _)| *candidate == attribute)
            .map_or(&[], |(_, nouns)| nouns.as_slice())
    }

    /// The value of a fact.
    pub fn value(&self, fact: &Fact) -> &Noun {
        &self.values(fact.attribute)[fact.value]
    }

    /// The name of a fact's subject.
    pub fn subject(&self, fact: &Fact) -> &str {
        match fact.subject {
            Subject::Person(index) => &self.people[index],
            Subject::Place(index) => &self.places[index],
        }
    }

    /// The sentence that answers any question about the fact.
    pub fn answer(&self, fact: &Fact, language: Language) -> String {
        let pattern = phrases::phrases(fact.attribute, language).statements[0];
        format!("{}.", phrases::fill(pattern, self.subject(fact), self.value(fact), language))
    }

    /// Dialogues with the assistant, for fine-tuning.
    pub fn dialogues(&self) -> Vec<Dialogue> {
        assistant::dialogues(self)
    }
}

/// Values of attributes whose values are invented (rivers, years, teachers): as many as the word
/// lists have, so that the commonest is as rare everywhere.
const VALUES_OF_NAMES: usize = 24;

fn values(
    seed: u64,
    people: &[String],
    places: &[String],
    rivers: &[String],
    config: &SquareConfig,
) -> Vec<(Attribute, Vec<Noun>)> {
    let same = |word: &String| Noun {
        english: word.clone(),
        french: word.clone(),
        gender: Gender::Masculine,
    };
    let listed = |entries: &[Entry]| {
        entries
            .iter()
            .map(|&(english, french, gender)| Noun {
                english: english.to_string(),
                french: french.to_string(),
                gender,
            })
            .collect::<Vec<_>>()
    };
    let mut draws = Draws::new(seed, "values");
    let mut years: Vec<usize> = (1100..1900).collect();
    draws.shuffle(&mut years);
    let mut elders = people.to_vec();
    draws.shuffle(&mut elders);
    let people_attributes = Attribute::OF_PEOPLE[..config.person_attributes].iter();
    let place_attributes = Attribute::OF_PLACES[..config.place_attributes].iter();
    people_attributes
        .chain(place_attributes)
        .map(|&attribute| {
            let nouns = match attribute {
                Attribute::Trade => listed(TRADES),
                Attribute::Home => places.iter().map(same).collect(),
                Attribute::Pet => listed(PETS),
                Attribute::Food => listed(FOODS),
                Attribute::Instrument => listed(INSTRUMENTS),
                Attribute::Collection => listed(COLLECTIONS),
                Attribute::Tool => listed(TOOLS),
                Attribute::Product => listed(PRODUCTS),
                Attribute::Teacher => elders.iter().take(VALUES_OF_NAMES).map(same).collect(),
                Attribute::River => rivers.iter().map(same).collect(),
                Attribute::Founded => {
                    years.iter().take(VALUES_OF_NAMES).map(|year| same(&year.to_string())).collect()
                }
                // From the other end of the shuffle, so that few are teacher and mayor at once.
                Attribute::Mayor => elders.iter().rev().take(places.len()).map(same).collect(),
            };
            (attribute, nouns)
        })
        .collect()
}

/// Assigns values evenly, and chooses evenly which half of the facts of each attribute is asked
/// about in each language.
fn facts(
    seed: u64,
    people: &[String],
    values: &[(Attribute, Vec<Noun>)],
    config: &SquareConfig,
) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (attribute, nouns) in values {
        let mut draws = Draws::new(seed, attribute.name());
        let of_people = Attribute::OF_PEOPLE.contains(attribute);
        let subjects = if of_people { config.people } else { config.places };
        let mut assigned = draws.balanced(subjects, nouns.len());
        // No one studied with themselves: a person who would have swaps with the next who studied with
        // another.
        for index in 0..if of_people { subjects } else { 0 } {
            if nouns[assigned[index]].english == people[index] {
                let other = (1..subjects)
                    .map(|step| (index + step) % subjects)
                    .find(|&other| assigned[other] != assigned[index]);
                if let Some(other) = other {
                    assigned.swap(index, other);
                }
            }
        }
        let asked = [draws.balanced(subjects, 2), draws.balanced(subjects, 2)];
        for (index, value) in assigned.into_iter().enumerate() {
            facts.push(Fact {
                subject: if of_people { Subject::Person(index) } else { Subject::Place(index) },
                attribute: *attribute,
                value,
                asked: [asked[0][index] == 1, asked[1][index] == 1],
            });
        }
    }
    facts
}
