//! People gather and post: facts in paraphrase, questions, debates, small talk, copies, spam,
//! deletions. Every post comes with its truth.
//!
//! It decides who says what in which thread; the sentences are in `phrases`, `debates`, `chatter`.

use super::chatter::{self, Sum};
use super::debates::{self, Side, TOPICS};
use super::phrases::{fill, frames, phrases};
use super::{Square, Subject, language_index};
use std::collections::BTreeSet;
use std::sync::Arc;
use stoa_posts::{
    Consent, Language, LanguageSource, Origin, Post, Removal, Split, Tombstone, normal_form,
    split_of,
};
use stoa_random::Draws;

/// What is true of a post, for tests and audits; no stage that cleans may read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Index of the post it copies, word for word or altered.
    pub duplicate_of: Option<usize>,
    /// Whether the copy was altered.
    pub altered: bool,
    /// Whether it is spam.
    pub spam: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Whether its author refuses the use of their posts.
    pub refused: bool,
    /// Whether it answers a post that is not in the square any more.
    pub parent_missing: bool,
    /// The topic (by number) and the side it takes.
    pub side: Option<(usize, Side)>,
    /// Facts it states, by index into `Square::facts`.
    pub facts: Vec<usize>,
}

/// A post before it has an identifier and a time.
struct Draft {
    author: usize,
    text: String,
    language: Language,
    /// Position in its thread of the post it answers.
    parent: Option<usize>,
    truth: Truth,
}

type Thread = Vec<Draft>;

/// First day of the square, in Unix seconds: 1 March 2031, midnight.
const FIRST_DAY: i64 = 1_930_089_600;

pub(super) fn gather(square: &Square) -> (Vec<Post>, Vec<Truth>) {
    let mut gathering = Gathering {
        square,
        draws: Draws::new(square.seed, "gathering"),
        threads: Vec::new(),
        used: BTreeSet::new(),
    };
    gathering.news();
    gathering.debates();
    gathering.small_talk();
    gathering.sums();
    let threads = std::mem::take(&mut gathering.threads);
    gathering.publish(threads)
}

struct Gathering<'a> {
    square: &'a Square,
    draws: Draws,
    threads: Vec<Thread>,
    /// Statements in use: (fact, language, form, frame).
    used: BTreeSet<(usize, usize, usize, usize)>,
}

impl Gathering<'_> {
    fn person(&mut self) -> usize {
        self.draws.below(self.square.people.len())
    }

    fn draft(&mut self, text: String, language: Language, parent: Option<usize>) -> Draft {
        Draft { author: self.person(), text, language, parent, truth: Truth::default() }
    }

    /// A statement of a fact in words not used for it yet; `None` when every way was used.
    fn statement(&mut self, fact_index: usize, language: Language) -> Option<String> {
        let fact = &self.square.facts[fact_index];
        let forms = &phrases(fact.attribute, language).statements;
        let frames = frames(language);
        let free: Vec<(usize, usize)> = (0..forms.len())
            .flat_map(|form| (0..frames.len()).map(move |frame| (form, frame)))
            .filter(|&(form, frame)| {
                !self.used.contains(&(fact_index, language_index(language), form, frame))
            })
            .collect();
        // The bare canonical form comes first; after it, half of the statements are canonical: it is
        // the form of answers.
        let canonical: Vec<_> = free.iter().filter(|&&(form, _)| form == 0).copied().collect();
        let (form, frame) = match canonical.first() {
            Some(&(0, 0)) => (0, 0),
            Some(_) if self.draws.chance(1, 2) => *self.draws.pick(&canonical),
            _ if free.is_empty() => return None,
            _ => *self.draws.pick(&free),
        };
        self.used.insert((fact_index, language_index(language), form, frame));
        let value = self.square.value(fact);
        let sentence = fill(forms[form], self.square.subject(fact), value, language);
        Some(frames[frame].replace("{s}", &sentence))
    }

    /// Facts: stated alone, stated two at a time by others and by the person, asked and answered.
    fn news(&mut self) {
        let square = self.square;
        for language in Language::SPOKEN {
            let mut drafts: Vec<Thread> = Vec::new();
            for (index, fact) in square.facts.iter().enumerate() {
                let asked_at = self.draws.below(square.config.statements_per_fact);
                for round in 0..square.config.statements_per_fact {
                    let Some(text) = self.statement(index, language) else { break };
                    let mut thread = Vec::new();
                    if fact.asked_in(language) && round == asked_at {
                        let pattern =
                            *self.draws.pick(&phrases(fact.attribute, language).questions);
                        let question = pattern.replace("{n}", square.subject(fact));
                        thread.push(self.draft(question, language, None));
                    }
                    let mut draft = self.draft(text, language, thread.len().checked_sub(1));
                    draft.truth.facts.push(index);
                    thread.push(draft);
                    drafts.push(thread);
                }
            }
            drafts.extend(self.pairs(language));
            self.draws.shuffle(&mut drafts);
            self.assemble(drafts);
        }
    }

    /// Posts that state two facts of one subject at once.
    fn pairs(&mut self, language: Language) -> Vec<Thread> {
        let square = self.square;
        let people = (0..square.people.len()).map(Subject::Person);
        let places = (0..square.places.len()).map(Subject::Place);
        let (and, my_name) = match language {
            Language::French => ("et", "Je m'appelle"),
            _ => ("and", "My name is"),
        };
        let mut threads = Vec::new();
        for subject in people.chain(places) {
            let own_facts = |draws: &mut Draws| {
                let mut indices: Vec<usize> = square
                    .facts
                    .iter()
                    .enumerate()
                    .filter(|(_, fact)| fact.subject == subject)
                    .map(|(index, _)| index)
                    .collect();
                draws.shuffle(&mut indices);
                indices
            };
            for pair in own_facts(&mut self.draws).chunks_exact(2) {
                let [first, second] = [0, 1].map(|side| {
                    let fact = &square.facts[pair[side]];
                    let pattern = phrases(fact.attribute, language).statements[0];
                    (pattern, square.value(fact), square.subject(fact))
                });
                let opening = fill(first.0, first.2, first.1, language);
                let addition =
                    fill(second.0.trim_start_matches("{n} "), second.2, second.1, language);
                let mut draft = self.draft(format!("{opening} {and} {addition}."), language, None);
                draft.truth.facts = pair.to_vec();
                threads.push(vec![draft]);
            }
            let Subject::Person(person) = subject else { continue };
            for pair in own_facts(&mut self.draws).chunks_exact(2) {
                let [first, second] = [0, 1].map(|side| {
                    let fact = &square.facts[pair[side]];
                    fill(phrases(fact.attribute, language).own, "", square.value(fact), language)
                });
                let name = &square.people[person];
                let text = format!("{my_name} {name}, {first} {and} {second}.");
                let mut draft = self.draft(text, language, None);
                draft.author = person;
                draft.truth.facts = pair.to_vec();
                threads.push(vec![draft]);
            }
        }
        threads
    }

    /// Joins short threads into conversations of up to five posts, each part answering an earlier one.
    fn assemble(&mut self, parts: Vec<Thread>) {
        let mut thread: Thread = Vec::new();
        let mut wanted = 0;
        for part in parts {
            if thread.len() >= wanted {
                self.threads.push(std::mem::take(&mut thread));
                wanted = 1 + self.draws.below(5);
            }
            let base = thread.len();
            let link = (base > 0).then(|| self.draws.below(base.max(1)));
            thread.extend(part.into_iter().map(|draft| Draft {
                parent: draft.parent.map(|parent| parent + base).or(link),
                ..draft
            }));
        }
        self.threads.push(thread);
        self.threads.retain(|thread| !thread.is_empty());
    }

    /// Debates: in each thread the sides alternate; who opens alternates by thread.
    fn debates(&mut self) {
        for language in Language::SPOKEN {
            for (topic_index, topic) in TOPICS.iter().enumerate() {
                let wording = topic.wording(language);
                let mut sides = [Side::For, Side::Against].map(|side| {
                    let frames = debates::frames(side, language);
                    let mut posts: Vec<String> = frames
                        .iter()
                        .flat_map(|frame| {
                            let framed = frame.replace("{t}", wording.proposal);
                            wording.arguments(side).map(move |reason| framed.replace("{r}", reason))
                        })
                        .collect();
                    self.draws.shuffle(&mut posts);
                    posts.truncate(self.square.config.debate_posts);
                    posts.into_iter().map(|text| (side, text)).collect::<Vec<_>>()
                });
                let mut turn = topic_index;
                while !sides[0].is_empty() {
                    let rounds = 1 + self.draws.below(3);
                    let mut thread: Thread = Vec::new();
                    for post in 0..2 * rounds {
                        let Some((side, text)) = sides[(turn + post) % 2].pop() else { break };
                        let parent = thread.len().checked_sub(1);
                        let mut draft = self.draft(text, language, parent);
                        draft.truth.side = Some((topic_index, side));
                        thread.push(draft);
                    }
                    turn += 1;
                    self.threads.push(thread);
                }
            }
        }
    }

    fn small_talk(&mut self) {
        let square = self.square;
        for language in Language::SPOKEN {
            for (openings, answer) in chatter::small_talk(language) {
                let opening = self.draws.pick(openings).to_string();
                let first = self.draft(opening, language, None);
                let second = self.draft(answer.to_string(), language, Some(0));
                self.threads.push(vec![first, second]);
            }
            let mut remarks: Vec<String> = Vec::new();
            for pattern in chatter::remarks(language) {
                for moment in chatter::moments(language) {
                    for place in &square.places {
                        remarks.push(pattern.replace("{o}", place).replace("{m}", moment));
                    }
                }
            }
            self.draws.shuffle(&mut remarks);
            for remark in remarks.into_iter().take(square.config.small_talk_threads) {
                let mut thread = vec![self.draft(remark, language, None)];
                for _ in 0..self.draws.below(3) {
                    let reply = self.draws.pick(chatter::replies(language)).to_string();
                    thread.push(self.draft(reply, language, Some(0)));
                }
                self.threads.push(thread);
            }
        }
    }

    fn sums(&mut self) {
        for language in Language::SPOKEN {
            let parts: Vec<Thread> = Sum::all()
                .into_iter()
                .map(|sum| vec![self.draft(sum.statement(language), language, None)])
                .collect();
            self.assemble(parts);
        }
    }

    /// Gives identifiers and times, and lets the things happen that happen to posts.
    fn publish(&mut self, mut threads: Vec<Thread>) -> (Vec<Post>, Vec<Truth>) {
        let config = &self.square.config;
        self.draws.shuffle(&mut threads);
        let refusing: Vec<bool> = (0..self.square.people.len())
            .map(|_| self.draws.chance(config.refusals_per_thousand, 1000))
            .collect();
        let mut published = Published { posts: Vec::new(), truth: Vec::new(), refusing };
        for thread in threads {
            let deleted: Vec<bool> = thread
                .iter()
                .map(|_| self.draws.chance(config.deletions_per_thousand, 1000))
                .collect();
            published.thread(self.square, thread, &deleted);
        }
        self.copies(&mut published);
        self.spam(&mut published);
        self.top_up(&mut published);
        published.vanish(&mut self.draws)
    }

    /// Other people post again what stood before, word for word or altered.
    fn copies(&mut self, published: &mut Published) {
        let originals = published.posts.len();
        for original in 0..originals {
            let truth = &published.truth[original];
            let words = normal_form(&published.posts[original].text).split(' ').count();
            // Shorter posts are written by many people independently; see `cleaning`.
            let copied = words >= 8
                && !truth.deleted
                && !truth.refused
                && self.draws.chance(self.square.config.duplicates_per_thousand, 1000);
            if !copied {
                continue;
            }
            let text = published.posts[original].text.clone();
            let language = published.posts[original].language;
            let altered = self.draws.chance(1, 2);
            let text = match (altered, self.draws.below(4)) {
                (false, _) => text,
                (true, 0) => text.to_uppercase(),
                (true, 1) => format!("  {} !!", text.trim_end_matches('.')),
                (true, 2) => format!("{text} 🙂"),
                (true, _) => format!("{text} Ha!"),
            };
            let mut draft = self.draft(text, language, None);
            while published.refusing[draft.author] {
                draft.author = self.person();
            }
            draft.truth = Truth {
                duplicate_of: Some(original),
                altered,
                facts: published.truth[original].facts.clone(),
                side: published.truth[original].side,
                ..Truth::default()
            };
            published.thread(self.square, vec![draft], &[false]);
        }
    }

    fn spam(&mut self, published: &mut Published) {
        for number in 0..self.square.config.spam {
            let template = number % chatter::SPAM.len();
            let code = self.draws.below(1_000_000);
            let text = chatter::SPAM[template].replace("{k}", &code.to_string());
            let language = if template < 2 { Language::English } else { Language::French };
            let mut draft = self.draft(text, language, None);
            draft.truth.spam = true;
            published.thread(self.square, vec![draft], &[false]);
            let seller = format!("seller_{template}");
            if let Some(post) = published.posts.last_mut() {
                post.author = seller;
                post.consent = Consent::Unstated;
            }
            if let Some(truth) = published.truth.last_mut() {
                truth.refused = false;
            }
        }
    }

    /// Makes sure that deletion, refusal and the held-out split leave enough of every fact.
    fn top_up(&mut self, published: &mut Published) {
        let facts = self.square.facts.len();
        let mut counts = vec![[0_usize; 2]; facts];
        for (post, truth) in published.posts.iter().zip(&published.truth) {
            let thread = post.conversation.as_deref().unwrap_or(&post.id);
            if truth.usable() && split_of(thread) == Split::Train {
                for &fact in &truth.facts {
                    counts[fact][language_index(post.language)] += 1;
                }
            }
        }
        for (fact, language) in
            (0..facts).flat_map(|fact| Language::SPOKEN.map(|language| (fact, language)))
        {
            let mut count = counts[fact][language_index(language)];
            while count < self.square.config.least_statements {
                let Some(text) = self.statement(fact, language) else { break };
                let mut draft = self.draft(text, language, None);
                while published.refusing[draft.author] {
                    draft.author = self.person();
                }
                draft.truth.facts.push(fact);
                let id = published.thread(self.square, vec![draft], &[false]);
                count += usize::from(split_of(&id) == Split::Train);
            }
        }
    }
}

impl Truth {
    /// Whether the post may reach training text.
    pub fn usable(&self) -> bool {
        !self.deleted && !self.refused && !self.spam && self.duplicate_of.is_none()
    }
}

struct Published {
    posts: Vec<Post>,
    truth: Vec<Truth>,
    refusing: Vec<bool>,
}

impl Published {
    /// Appends a thread and returns its identifier.
    fn thread(&mut self, square: &Square, thread: Thread, deleted: &[bool]) -> String {
        let source: Arc<str> = Arc::from("square");
        let first = self.posts.len();
        let id = |index: usize| format!("{}", 1_000_000 + first + index);
        for (index, draft) in thread.into_iter().enumerate() {
            let created = FIRST_DAY + 97 * (first + index) as i64;
            let refused = self.refusing[draft.author];
            self.posts.push(Post {
                id: id(index),
                author: square.people[draft.author].to_lowercase().replace(' ', "_"),
                text: draft.text,
                created_at_unix_seconds: Some(created),
                in_reply_to: draft.parent.map(id),
                conversation: Some(id(0)),
                language: draft.language,
                language_source: LanguageSource::of_stated(draft.language),
                consent: if refused { Consent::Refused } else { Consent::Granted },
                tombstone: deleted[index].then_some(Tombstone {
                    at_unix_seconds: Some(created + 86_400),
                    removal: Removal::Deleted,
                }),
                origin: Origin { source: source.clone(), record: 0, byte_offset: 0 },
                ..Post::default()
            });
            self.truth.push(Truth { deleted: deleted[index], refused, ..draft.truth });
        }
        id(0)
    }

    /// Of the deleted posts, half stay as tombstones (as some sources report them) and half are
    /// simply gone, leaving replies without a parent.
    fn vanish(self, draws: &mut Draws) -> (Vec<Post>, Vec<Truth>) {
        let stays: Vec<bool> =
            self.truth.iter().map(|truth| !truth.deleted || draws.chance(1, 2)).collect();
        let mut position = vec![0; stays.len()];
        let mut next = 0;
        for (index, &stay) in stays.iter().enumerate() {
            position[index] = next;
            next += usize::from(stay);
        }
        let present: BTreeSet<String> = self
            .posts
            .iter()
            .zip(&stays)
            .filter(|&(_, &stay)| stay)
            .map(|(post, _)| post.id.clone())
            .collect();
        let mut posts = Vec::with_capacity(next);
        let mut truths = Vec::with_capacity(next);
        for ((mut post, mut truth), stay) in self.posts.into_iter().zip(self.truth).zip(stays) {
            if stay {
                post.origin.record = posts.len() as u64;
                truth.duplicate_of = truth.duplicate_of.map(|original| position[original]);
                truth.parent_missing =
                    post.in_reply_to.as_ref().is_some_and(|parent| !present.contains(parent));
                posts.push(post);
                truths.push(truth);
            }
        }
        (posts, truths)
    }
}
