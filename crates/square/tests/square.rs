//! The sample square: same bytes for the same seed, truths that hold, nothing unusable in training
//! text, an examination whose questions are new.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;
use stoa_corpus::ingest::{IngestOptions, ingest};
use stoa_corpus::{Corpus, SplitBy, Store};
use stoa_dialogue::Role;
use stoa_posts::{Durability, Language, Split, Values, normal_form, read_columns, split_of};
use stoa_square::{Attribute, Side, Square, SquareConfig, exam, majority_baseline, mark};

/// Squares of the default size that several tests look at, grown once.
static GROWN: [LazyLock<(Square, Corpus)>; 2] =
    [LazyLock::new(|| grow(1)), LazyLock::new(|| grow(2))];

/// What became of the posts of those squares, in their order.
static FATES: [LazyLock<Vec<Fate>>; 2] =
    [LazyLock::new(|| ingested(&GROWN[0].0).1), LazyLock::new(|| ingested(&GROWN[1].0).1)];

/// What an ingest did with a post.
#[derive(Clone, Debug, Default)]
struct Fate {
    kept: bool,
    /// The first rule that dropped it.
    rule: String,
    /// The post it repeats.
    of: Option<String>,
}

fn grow(seed: u64) -> (Square, Corpus) {
    let square = Square::generate(seed, &SquareConfig::default()).unwrap();
    let (mut corpus, _) = ingested(&square);
    corpus.dialogues = square.dialogues();
    (square, corpus)
}

/// The corpus of a square's posts by the rules that all posts go through, and what became of each.
fn ingested(square: &Square) -> (Corpus, Vec<Fate>) {
    let folder = tempfile::tempdir().unwrap();
    let line = |post| serde_json::to_string(post).unwrap() + "\n";
    let posts = folder.path().join("posts.jsonl");
    std::fs::write(&posts, square.posts.iter().map(line).collect::<String>()).unwrap();
    let mut options = IngestOptions::new(vec![posts], &folder.path().join("store"));
    options.split = SplitBy::Thread;
    options.durability = Durability::Unsynced;
    options.threads = 2;
    ingest(&options, &|_, _, _| {}).unwrap();
    let store = Store::new(&options.out);
    let mut fates = Vec::new();
    for shard in store.shards().unwrap() {
        let path = store.attribute("verdict", &shard);
        let columns = read_columns(&path, &["kept", "reason", "of"]).unwrap();
        let mut columns = columns.into_iter();
        let kept = columns.next().flatten().and_then(Values::into_flags).unwrap();
        // Without copies there is no column of the posts that are repeated.
        let mut texts = || {
            let texts = columns.next().flatten().and_then(Values::into_texts);
            texts.unwrap_or_else(|| vec![None; kept.len()])
        };
        let (rules, of) = (texts(), texts());
        let rows = kept.into_iter().zip(rules).zip(of);
        fates.extend(rows.map(|((kept, rule), of)| Fate {
            kept: kept.unwrap(),
            rule: rule.unwrap_or_default(),
            of,
        }));
    }
    assert_eq!(fates.len(), square.posts.len());
    (Corpus::of_store(&store).unwrap(), fates)
}

fn square(seed: usize) -> &'static (Square, Corpus) {
    &GROWN[seed % 2]
}

fn fates(seed: usize) -> &'static [Fate] {
    &FATES[seed % 2]
}

fn small() -> SquareConfig {
    SquareConfig { people: 20, places: 6, unknown_dialogues: 10, ..SquareConfig::default() }
}

/// The attributes in use.
fn attributes(square: &Square) -> impl Iterator<Item = Attribute> {
    let of_people = Attribute::OF_PEOPLE.into_iter().take(square.config.person_attributes);
    of_people.chain(Attribute::OF_PLACES.into_iter().take(square.config.place_attributes))
}

/// All attributes at the largest sizes that were tried.
fn large() -> SquareConfig {
    SquareConfig { people: 150, places: 40, person_attributes: 8, ..SquareConfig::default() }
}

#[test]
fn a_larger_square_has_every_attribute_and_a_larger_pool() {
    let square = Square::generate(3, &large()).unwrap();
    assert_eq!(square.facts.len(), 150 * 8 + 40 * 4);
    let pool = exam(&square, 1, usize::MAX, |_| false);
    assert_eq!(pool.len(), 150 * 8 * 4 + 40 * 4 * 4);
    for question in &pool {
        assert!(mark(question, &question.answer), "{question:?}");
    }
    for fact in square.facts.iter().filter(|fact| fact.attribute == Attribute::Teacher) {
        assert_ne!(square.subject(fact), square.value(fact).word(Language::English));
    }
}

#[test]
fn same_seed_same_bytes_other_seed_other_names() {
    let grow = |seed| {
        let square = Square::generate(seed, &small()).unwrap();
        let rows = (&square.posts, &ingested(&square).0.documents, &square.dialogues());
        (serde_json::to_string(&rows).unwrap(), square.people)
    };
    let (first, people) = grow(1);
    let (again, _) = grow(1);
    let (other, strangers) = grow(2);
    assert!(first == again, "the square is not a function of its seed");
    assert_ne!(first, other);
    let shared = people.iter().filter(|name| strangers.contains(name)).count();
    assert_eq!(shared, 0, "people of two seeds share {shared} names");
}

#[test]
fn sizes_are_those_asked_for() {
    let (square, corpus) = square(1);
    assert_eq!((square.people.len(), square.places.len()), (110, 30));
    assert_eq!(square.facts.len(), 110 * 7 + 30 * 4);
    let bytes = |split| -> usize {
        corpus.documents.iter().filter(|d| d.split == split).map(|d| d.text.len()).sum()
    };
    assert!((350_000..600_000).contains(&bytes(Split::Train)), "{}", bytes(Split::Train));
    assert!(bytes(Split::HeldOut) > 15_000);
    let spoken: usize =
        corpus.dialogues.iter().flat_map(|d| &d.messages).map(|m| m.text().len()).sum();
    assert!((200_000..350_000).contains(&spoken), "{spoken}");
}

#[test]
fn sizes_out_of_range_are_refused_with_the_range() {
    let config = SquareConfig { people: 2, ..small() };
    let message = Square::generate(1, &config).unwrap_err().to_string();
    assert!(message.contains("people = 2") && message.contains("from 8 to"), "{message}");
    let config = SquareConfig { people: 1_000_000_000, ..small() };
    assert!(Square::generate(1, &config).is_err());
}

#[test]
fn every_verdict_agrees_with_the_truth() {
    for seed in [1, 2] {
        let (square, _) = square(seed);
        let by_id: HashMap<&str, usize> =
            square.posts.iter().enumerate().map(|(at, post)| (post.id.as_str(), at)).collect();
        let mut wrong = BTreeMap::new();
        let (mut honest, mut equal) = (0, 0);
        for (index, fate) in fates(seed).iter().enumerate() {
            let (truth, post) = (&square.truth[index], &square.posts[index]);
            let original = |index: usize| square.truth[index].duplicate_of.unwrap_or(index);
            let of = fate.of.as_deref().map(|id| by_id[id]);
            // The square itself repeats some sentences: equal words are equal words.
            let by_chance =
                of.is_some_and(|of| normal_form(&square.posts[of].text) == normal_form(&post.text));
            let agrees = match fate.rule.as_str() {
                "" => fate.kept && truth.usable(),
                "tombstone" => truth.deleted,
                "consent" => truth.refused,
                "posts/template-spam" => truth.spam,
                "exact" | "near" => {
                    of.is_some_and(|of| original(of) == original(index)) || by_chance
                }
                _ => false,
            };
            honest += usize::from(truth.usable());
            equal += usize::from(truth.usable() && by_chance);
            if !agrees {
                *wrong.entry(format!("{fate:?} {truth:?} {}", post.text)).or_insert(0) += 1;
            }
        }
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
        assert!(equal * 200 < honest, "{equal} of {honest} honest posts occur twice");
        // The labels are not empty ones.
        let count = |test: fn(&stoa_square::Truth) -> bool| {
            square.truth.iter().filter(|truth| test(truth)).count()
        };
        assert!(count(|truth| truth.duplicate_of.is_some() && truth.altered) > 50);
        assert!(count(|truth| truth.duplicate_of.is_some() && !truth.altered) > 50);
        assert!(count(|truth| truth.spam) == 120);
        assert!(count(|truth| truth.deleted) > 50);
        assert!(count(|truth| truth.parent_missing) > 10);
    }
}

#[test]
fn nothing_unusable_stands_in_training_text() {
    let (square, corpus) = square(4);
    let training = corpus.training_text();
    let usable: BTreeSet<&str> = square
        .posts
        .iter()
        .zip(&square.truth)
        .filter(|(_, truth)| truth.usable())
        .map(|(post, _)| post.text.as_str())
        .collect();
    let lines: BTreeSet<&str> = training.lines().collect();
    let mut checked = 0;
    for (post, truth) in square.posts.iter().zip(&square.truth) {
        // The same words of another author may stay.
        if !truth.usable() && !usable.contains(post.text.as_str()) {
            let canonical = square.facts.iter().any(|fact| {
                Language::SPOKEN.iter().any(|&language| square.answer(fact, language) == post.text)
            });
            let in_dialogue = corpus
                .dialogues
                .iter()
                .flat_map(|dialogue| &dialogue.messages)
                .any(|message| message.text() == post.text);
            if !canonical && !in_dialogue {
                assert!(!lines.contains(post.text.as_str()), "{truth:?}: {}", post.text);
                checked += 1;
            }
        }
    }
    assert!(checked > 200, "only {checked} unusable posts were looked for");
    assert!(!training.contains("http"), "spam links reached the training text");
}

#[test]
fn every_fact_is_stated_in_training_text_in_both_languages() {
    let (square, corpus) = square(5);
    let mut statements: HashMap<(usize, Language), usize> = HashMap::new();
    let train: BTreeSet<&str> = corpus
        .documents
        .iter()
        .filter(|document| document.split == Split::Train)
        .map(|document| document.id.as_str())
        .collect();
    for ((post, truth), fate) in square.posts.iter().zip(&square.truth).zip(fates(5)) {
        if fate.kept && train.contains(post.conversation.as_deref().unwrap()) {
            for &fact in &truth.facts {
                *statements.entry((fact, post.language)).or_insert(0) += 1;
                let subject = square.subject(&square.facts[fact]);
                assert!(post.text.contains(subject), "{} does not name {subject}", post.text);
                let value = square.value(&square.facts[fact]).word(post.language);
                assert!(post.text.contains(value), "{} does not name {value}", post.text);
            }
        }
    }
    for fact in 0..square.facts.len() {
        for language in Language::SPOKEN {
            let count = statements.get(&(fact, language)).copied().unwrap_or(0);
            assert!(count >= 3, "fact {fact} stated {count} times in {language:?}");
        }
    }
}

#[test]
fn debates_give_both_sides_the_same_room() {
    let (square, corpus) = square(6);
    let mut counts: BTreeMap<(usize, Language, Side), usize> = BTreeMap::new();
    for (post, truth) in square.posts.iter().zip(&square.truth) {
        if let (Some((topic, side)), None) = (truth.side, truth.duplicate_of) {
            *counts.entry((topic, post.language, side)).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), 8 * 2 * 2);
    for (&(topic, language, _), &count) in &counts {
        // Twelve each; a deletion that left no tombstone can take one or two away.
        assert!((9..=12).contains(&count), "topic {topic} {language:?}: {count}");
    }
    let openings = |opening: &str| {
        corpus.dialogues.iter().filter(|d| d.messages[1].text().starts_with(opening)).count()
    };
    assert!(openings("Some are for") > 0);
    assert_eq!(openings("Some are for"), openings("Some are against"));
    assert_eq!(openings("Les uns sont pour"), openings("Les uns sont contre"));
}

#[test]
fn half_of_the_facts_are_asked_about_in_each_language() {
    let (square, _) = square(7);
    for attribute in attributes(square) {
        for language in Language::SPOKEN {
            let of_attribute =
                square.facts.iter().filter(|fact| fact.attribute == attribute).collect::<Vec<_>>();
            let asked = of_attribute.iter().filter(|fact| fact.asked_in(language)).count();
            assert_eq!(2 * asked, of_attribute.len(), "{attribute:?} {language:?}");
        }
    }
}

#[test]
fn values_of_an_attribute_are_distinct_and_near_uniform() {
    let (square, _) = square(8);
    for attribute in attributes(square) {
        let values = square.values(attribute);
        assert!(values.len() >= 20, "{attribute:?} has {} values", values.len());
        for language in Language::SPOKEN {
            let words: BTreeSet<String> =
                values.iter().map(|value| normal_form(value.word(language))).collect();
            assert_eq!(words.len(), values.len(), "{attribute:?} {language:?}");
        }
        let mut uses = vec![0_usize; values.len()];
        let facts = square.facts.iter().filter(|fact| fact.attribute == attribute);
        facts.for_each(|fact| uses[fact.value] += 1);
        let (least, most) = (uses.iter().min().unwrap(), uses.iter().max().unwrap());
        assert!(most - least <= 1, "{attribute:?}: {least} to {most}");
    }
}

#[test]
fn examination_asks_what_training_never_asked() {
    let (square, corpus) = square(9);
    let training = corpus.training_text();
    let lines: BTreeSet<&str> = training.lines().collect();
    let pool = exam(square, 1, usize::MAX, |question| lines.contains(question));
    assert!(pool.len() >= 1500, "only {} questions", pool.len());
    let texts: BTreeSet<&str> = pool.iter().map(|question| question.text.as_str()).collect();
    assert_eq!(texts.len(), pool.len(), "questions repeat");
    for question in pool.iter().step_by(7) {
        assert!(!training.contains(&question.text), "{} was asked", question.text);
    }
    assert!(majority_baseline(&pool) < 0.1, "{}", majority_baseline(&pool));
    // Drawn by seed, as many as asked for, in both languages, and none that the caller has seen.
    let drawn = |seed| exam(square, seed, 200, |question| question.contains("trade"));
    assert_eq!(drawn(1).len(), 200);
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
    assert!(drawn(1).iter().all(|question| !question.text.contains("trade")));
    for language in Language::SPOKEN {
        let share = drawn(1).iter().filter(|question| question.language == language).count();
        assert!((60..=140).contains(&share), "{share} of 200 in {language:?}");
    }
}

#[test]
fn marking_follows_the_truth() {
    let (square, _) = square(10);
    for question in exam(square, 1, usize::MAX, |_| false) {
        assert!(mark(&question, &question.answer), "{question:?}");
        assert!(mark(&question, &question.answer.to_uppercase()), "{question:?}");
        assert!(!mark(&question, ""), "{question:?}");
        assert!(!mark(&question, "I do not know."), "{question:?}");
        assert!(!mark(&question, &question.text), "{question:?}");
        let other = &question.wrong[0];
        assert!(!mark(&question, other), "{question:?}");
        assert!(!mark(&question, &format!("{} {other}", question.answer)), "{question:?}");
    }
}

#[test]
fn answering_by_another_value_is_marked_wrong() {
    let (square, _) = square(11);
    for question in exam(square, 3, 400, |_| false) {
        let same_kind = square.facts.iter().filter(|fact| fact.attribute.name() == question.kind);
        for fact in same_kind {
            let value = square.value(fact).word(question.language);
            // No person teaches themselves, so the subject's name is no value in the sentence about them.
            if !question.text.contains(value) {
                let answer = question.answer.replace(&question.accepted[0], value);
                assert_eq!(mark(&question, &answer), question.accepted[0] == value, "{answer}");
            }
        }
    }
}

#[test]
fn dialogues_alternate_and_never_ask_what_the_examination_asks() {
    let (square, corpus) = square(12);
    let asked: BTreeSet<&str> = corpus
        .dialogues
        .iter()
        .flat_map(|dialogue| &dialogue.messages)
        .filter(|message| message.role == Role::User)
        .map(|message| message.text())
        .collect();
    for dialogue in &corpus.dialogues {
        assert!(dialogue.messages.len() >= 2 && dialogue.messages.len() % 2 == 0);
        for (index, message) in dialogue.messages.iter().enumerate() {
            let role = if index % 2 == 0 { Role::User } else { Role::Assistant };
            assert_eq!(message.role, role);
            assert!(!message.text().is_empty());
        }
    }
    let before_filter = exam(square, 1, usize::MAX, |_| false);
    let after_filter = exam(square, 1, usize::MAX, |question| asked.contains(question));
    assert_eq!(before_filter.len(), after_filter.len());
    // Every phrasing of the examination has been met with other subjects.
    let skeleton = |text: &str| {
        let names = square.people.iter().chain(&square.places);
        names.fold(text.to_string(), |text, name| text.replace(name.as_str(), "*"))
    };
    let met: BTreeSet<String> = asked.iter().map(|text| skeleton(text)).collect();
    for question in after_filter.iter().step_by(11) {
        assert!(met.contains(&skeleton(&question.text)), "{}", question.text);
    }
}

#[test]
fn people_who_do_not_exist_are_not_known() {
    let (square, corpus) = square(13);
    let mut unknown = 0;
    for dialogue in &corpus.dialogues {
        let answer = dialogue.messages[1].text();
        if answer.starts_with("I do not know") || answer.starts_with("Je ne connais pas") {
            let question = dialogue.messages[0].text();
            let known = square.people.iter().chain(&square.places);
            assert!(known.into_iter().all(|name| !question.contains(name.as_str())), "{question}");
            unknown += 1;
        }
    }
    assert_eq!(unknown, square.config.unknown_dialogues);
}

#[test]
fn held_out_threads_are_a_function_of_their_identifier() {
    let (_, corpus) = square(14);
    for document in &corpus.documents {
        assert_eq!(document.split, split_of(&document.id));
    }
    let held_out = corpus.documents.iter().filter(|d| d.split == Split::HeldOut).count();
    let share = held_out as f64 / corpus.documents.len() as f64;
    // One in sixteen of some 5000 threads; four standard deviations are 0.014.
    assert!((0.048..0.077).contains(&share), "{share}");
}
