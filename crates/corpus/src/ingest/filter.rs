//! Raw shards to posts and verdicts: what is gone, what may not be used, languages, rules.
//!
//! A shard is one task and depends on no other. Gates go one after the other; the rules of a
//! profile are all asked about what passes the gates, so that each can be audited by itself.

use super::attributes::{self, DECONTAMINATION, GATES, LANGUAGE, Mark};
use super::options::Stage;
use super::removals::{self, Settled};
use super::{Ingest, templates};
use crate::error::CorpusError;
use stoa_posts::identify::identify;
use stoa_posts::rules::Judgement;
use stoa_posts::{
    Column, Consent, Language, LanguageSource, Post, Removal, Tombstone, Values, read_posts,
    write_posts, write_whole,
};

impl Ingest<'_> {
    /// Judges a shard.
    pub(super) fn judge(&self, index: usize) -> Result<(), CorpusError> {
        let shard = &self.readings.shards[index];
        let mut posts = read_posts(&self.work.raw(shard.source, shard.part))?;
        let settled = removals::of_shard(self, index)?;
        let mut alive = vec![true; posts.len()];
        self.gates(&shard.name, &mut posts, &settled, &mut alive)?;
        if self.options.runs(Stage::Language) {
            self.languages(&shard.name, &mut posts, &alive)?;
        }
        let passed = alive.clone();
        if self.options.runs(Stage::Rules) {
            for rule in &self.rules {
                let marks = marks(&posts, &passed, |post| match rule.judge(&post.into()) {
                    Judgement::Keep => Mark::Kept,
                    Judgement::Drop { reason } => Mark::dropped(reason),
                });
                self.apply(rule.name(), &shard.name, &posts, &marks, &mut alive)?;
            }
        }
        if self.options.runs(Stage::Decontaminate) && self.evaluations.items() > 0 {
            let marks =
                marks(&posts, &alive, |post| match self.evaluations.contamination(&post.text) {
                    None => Mark::Kept,
                    Some(_) => Mark::dropped("stands in an evaluation set"),
                });
            self.apply(DECONTAMINATION, &shard.name, &posts, &marks, &mut alive)?;
        }
        write_posts(&self.store.posts(&shard.name), self.store.durability(), &posts)?;
        if templates::asked(self.options) {
            templates::spill(self, index, &posts, &alive)?;
        }
        let alive: Vec<u8> = alive.into_iter().map(u8::from).collect();
        Ok(write_whole(&self.work.of_shard("alive", shard), self.work.durability, &alive)?)
    }

    fn apply(
        &self,
        rule: &str,
        shard: &str,
        posts: &[Post],
        marks: &[Mark],
        alive: &mut [bool],
    ) -> Result<(), CorpusError> {
        for (alive, mark) in alive.iter_mut().zip(marks) {
            *alive &= !mark.is_drop();
        }
        attributes::write(&self.store, rule, shard, posts, marks, Vec::new())
    }

    fn gates(
        &self,
        shard: &str,
        posts: &mut [Post],
        settled: &std::collections::HashMap<usize, Settled>,
        alive: &mut [bool],
    ) -> Result<(), CorpusError> {
        for (row, decision) in settled {
            if let (Settled::Gone(removal, at_unix_seconds), Some(post)) =
                (*decision, posts.get_mut(*row))
            {
                post.tombstone = Some(Tombstone { at_unix_seconds, removal });
                // The words of a deleted post are not carried any further.
                post.text.clear();
                if removal == Removal::Refused {
                    post.consent = Consent::Refused;
                }
            }
        }
        for gate in GATES {
            let marks: Vec<Mark> = posts
                .iter()
                .enumerate()
                .map(|(row, post)| {
                    let superseded = settled.get(&row) == Some(&Settled::Superseded);
                    let reason = match gate {
                        "tombstone" => post.tombstone.map(|tombstone| tombstone.removal.name()),
                        "version" => superseded.then_some("another row holds this post"),
                        "consent" => {
                            (post.consent == Consent::Refused).then_some("consent refused")
                        }
                        _ => post.repost.then_some("repeats another post"),
                    };
                    match (alive[row], reason) {
                        (false, _) => Mark::Unasked,
                        (true, None) => Mark::Kept,
                        (true, Some(reason)) => Mark::dropped(reason),
                    }
                })
                .collect();
            self.apply(gate, shard, posts, &marks, alive)?;
        }
        Ok(())
    }

    /// Identifies the languages that sources leave open; what they state stays.
    fn languages(
        &self,
        shard: &str,
        posts: &mut [Post],
        alive: &[bool],
    ) -> Result<(), CorpusError> {
        for (post, _) in posts.iter_mut().zip(alive).filter(|(_, alive)| **alive) {
            if post.language == Language::Undetermined {
                post.language = Language::from_code(identify(&post.text).language);
                post.language_source = LanguageSource::of_identified(post.language);
            }
        }
        let marks = marks(posts, alive, |_| Mark::Kept);
        let column = |name, get: fn(&Post) -> &str| {
            let values = posts.iter().map(|post| Some(get(post).to_string()));
            Column { name, required: true, values: Values::Text(values.collect()) }
        };
        let more = vec![
            column(LANGUAGE, |post| post.language.code()),
            column(attributes::LANGUAGE_SOURCE, |post| post.language_source.name()),
        ];
        attributes::write(&self.store, LANGUAGE, shard, posts, &marks, more)
    }
}

fn marks(posts: &[Post], asked: &[bool], judge: impl Fn(&Post) -> Mark) -> Vec<Mark> {
    let rows = posts.iter().zip(asked);
    rows.map(|(post, &asked)| if asked { judge(post) } else { Mark::Unasked }).collect()
}
