//! The verdicts on copies, the sum of all verdicts, and the links that threads are made of, by shard.

use super::attributes::{self, EXACT, Mark, NEAR, VERDICT, rules_in_order};
use super::near_copies::Chosen;
use super::options::Stage;
use super::{Ingest, threading};
use crate::error::CorpusError;
use crate::store::Buckets;
use stoa_posts::{Post, read_posts};

/// Writes what is left to say about the rows of a shard.
pub(super) fn shard(ingest: &Ingest<'_>, index: usize) -> Result<(), CorpusError> {
    let Ingest { store, readings, options, rules, .. } = ingest;
    let shard = &readings.shards[index].name;
    let posts = read_posts(&store.posts(shard))?;
    if options.runs(Stage::Exact) || options.runs(Stage::Near) {
        copies(ingest, index, &posts)?;
    }
    let mut verdicts = vec![Mark::Kept; posts.len()];
    for rule in rules_in_order(store, rules) {
        for (verdict, mark) in verdicts.iter_mut().zip(attributes::read(store, &rule, shard)?) {
            if let (Mark::Kept, Mark::Dropped { of, .. }) = (&verdict, &mark) {
                *verdict = Mark::Dropped { reason: rule.clone(), of: of.clone() };
            }
        }
    }
    attributes::write(store, VERDICT, shard, &posts, &verdicts, Vec::new())?;
    threading::links(ingest, index, &posts)
}

/// Writes the verdicts on copies of a shard.
fn copies(ingest: &Ingest<'_>, index: usize, posts: &[Post]) -> Result<(), CorpusError> {
    let Ingest { store, readings, options, work, .. } = ingest;
    let shard = &readings.shards[index];
    let alive = work.read_flags("living", shard)?;
    let asked = |alive: &bool| if *alive { Mark::Kept } else { Mark::Unasked };
    let mut exact: Vec<Mark> = alive.iter().map(asked).collect();
    let mut near = exact.clone();
    let (runs_exact, runs_near) = (options.runs(Stage::Exact), options.runs(Stage::Near));
    let chosen = [work.folder("chosen")];
    Buckets::each(&chosen, index, readings.shards.len(), |copy: Chosen| {
        let row = copy.words[0] as usize;
        let of = Some(String::from_utf8_lossy(&copy.body).into_owned());
        if copy.words[1] == 1 && runs_near {
            near[row] = Mark::Dropped { reason: "near-copy".to_string(), of };
        } else if copy.words[1] == 0 && runs_exact {
            exact[row] = Mark::Dropped { reason: "copy".to_string(), of };
            near[row] = Mark::Unasked;
        }
        Ok(())
    })?;
    if runs_exact {
        attributes::write(store, EXACT, &shard.name, posts, &exact, Vec::new())?;
    }
    if runs_near {
        attributes::write(store, NEAR, &shard.name, posts, &near, Vec::new())?;
    }
    Ok(())
}
