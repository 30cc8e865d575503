//! Counts of posts and drops by side, author and facet: all that the statistics need to know.
//!
//! It holds no text and no name: an author is a hash, a post is one more in a cell. Rows may come in
//! any order; the counts, and all that follows from them, are the same.

use std::collections::{BTreeMap, HashMap};

use super::error::AuditError;
use stoa_random::{mix, stable_hash};

/// Most clusters of a side that are resampled one by one. Beyond, authors are thrown together by hash:
/// random groups of authors have the same variance (Wolter, "Introduction to Variance Estimation",
/// 2nd ed. 2007, chapter 2), and resampling stays fast.
const MAX_CLUSTERS: u64 = 1 << 12;

/// A property by which drop rates are listed: language, length, topic, a dialect group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// Its name, such as `language`.
    pub name: String,
    /// Whether sides are also compared within its levels, like with like.
    pub stratifies: bool,
}

/// One post as the audit sees it.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The side it speaks for.
    pub side: &'a str,
    /// Who wrote it; `None` when unknown: the post stands for itself.
    pub author: Option<&'a str>,
    /// Its level of each facet, in the order of the facets.
    pub levels: &'a [&'a str],
    /// Whether each rule drops it, in the order of the rules.
    pub dropped: &'a [bool],
}

/// Counts in the order: posts, posts that any rule drops, posts that each rule drops.
pub(super) type Counts = Vec<u64>;

/// Counts of posts as they come in.
#[derive(Clone, Debug)]
pub struct Tally {
    rules: Vec<String>,
    facets: Vec<Facet>,
    sides: Names,
    levels: Vec<Names>,
    cells: HashMap<Vec<u32>, u32>,
    clusters: BTreeMap<(u32, u64), BTreeMap<u32, Counts>>,
    posts: u64,
    without_author: u64,
}

/// Names in the order they were first met.
#[derive(Clone, Debug, Default)]
struct Names {
    list: Vec<String>,
    places: HashMap<String, u32>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.list.len() as u32;
        self.list.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(rules: Vec<String>, facets: Vec<Facet>) -> Tally {
        let levels = vec![Names::default(); facets.len()];
        Tally {
            rules,
            facets,
            sides: Names::default(),
            levels,
            cells: HashMap::new(),
            clusters: BTreeMap::new(),
            posts: 0,
            without_author: 0,
        }
    }

    /// Counts a post.
    ///
    /// # Errors
    /// [`AuditError::Shape`] when it has other than one level per facet and one verdict per rule.
    pub fn add(&mut self, post: &Observation<'_>) -> Result<(), AuditError> {
        if post.levels.len() != self.facets.len() || post.dropped.len() != self.rules.len() {
            return Err(AuditError::Shape {
                levels: post.levels.len(),
                facets: self.facets.len(),
                verdicts: post.dropped.len(),
                rules: self.rules.len(),
            });
        }
        let side = self.sides.place(post.side);
        let cell: Vec<u32> = self
            .levels
            .iter_mut()
            .zip(post.levels)
            .map(|(names, level)| names.place(level))
            .collect();
        let next = self.cells.len() as u32;
        let cell = *self.cells.entry(cell).or_insert(next);
        let cluster = match post.author {
            Some(author) => stable_hash(author.as_bytes()),
            // A post without author stands for itself; many of them are grouped at random.
            None => {
                self.without_author += 1;
                mix(self.posts) % MAX_CLUSTERS
            }
        };
        self.posts += 1;
        let width = self.rules.len() + 2;
        let counts = self
            .clusters
            .entry((side, cluster))
            .or_default()
            .entry(cell)
            .or_insert_with(|| vec![0; width]);
        counts[0] += 1;
        counts[1] += u64::from(post.dropped.contains(&true));
        for (count, &dropped) in counts[2..].iter_mut().zip(post.dropped) {
            *count += u64::from(dropped);
        }
        Ok(())
    }

    /// Posts counted.
    pub fn posts(&self) -> u64 {
        self.posts
    }

    /// Those among them whose author is unknown.
    pub fn without_author(&self) -> u64 {
        self.without_author
    }

    /// Names of the rules.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The facets.
    pub fn facets(&self) -> &[Facet] {
        &self.facets
    }

    /// The sides met, in alphabetical order.
    pub fn sides(&self) -> Vec<&str> {
        let mut sides: Vec<&str> = self.sides.list.iter().map(String::as_str).collect();
        sides.sort_unstable();
        sides
    }

    /// Levels of a facet, in alphabetical order.
    pub(super) fn levels(&self, facet: usize) -> Vec<&str> {
        let mut levels: Vec<&str> = self.levels[facet].list.iter().map(String::as_str).collect();
        levels.sort_unstable();
        levels
    }

    /// The counts of one side, by cluster and stratum. `stratum` gives the place of a cell from its
    /// levels; cells it has no place for are left out.
    pub(super) fn side(
        &self,
        side: &str,
        strata: usize,
        mut stratum: impl FnMut(&[&str]) -> Option<usize>,
    ) -> SideCounts {
        let width = self.rules.len() + 2;
        let mut of_cell = vec![None; self.cells.len()];
        for (levels, &cell) in &self.cells {
            let names: Vec<&str> = levels
                .iter()
                .zip(&self.levels)
                .map(|(&level, names)| names.list[level as usize].as_str())
                .collect();
            of_cell[cell as usize] = stratum(&names);
        }
        let place = self.sides.places.get(side).copied().unwrap_or(u32::MAX);
        let range = (place, 0)..=(place, u64::MAX);
        let authors = self.clusters.range(range.clone()).count() as u64;
        let mut clusters: BTreeMap<u64, BTreeMap<usize, Counts>> = BTreeMap::new();
        for (&(_, author), cells) in self.clusters.range(range) {
            let key = if authors > MAX_CLUSTERS { author % MAX_CLUSTERS } else { author };
            let cluster = clusters.entry(key).or_default();
            for (&cell, counts) in cells {
                let Some(stratum) = of_cell[cell as usize] else { continue };
                let sums = cluster.entry(stratum).or_insert_with(|| vec![0; width]);
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        let clusters =
            clusters.into_values().map(|cluster| cluster.into_iter().collect()).collect();
        SideCounts { clusters, authors, strata, width }
    }
}

/// Counts of one side.
#[derive(Clone, Debug)]
pub(super) struct SideCounts {
    /// By cluster: strata with their counts, in ascending order.
    pub(super) clusters: Vec<Vec<(usize, Counts)>>,
    /// Authors, before they were grouped.
    pub(super) authors: u64,
    /// Number of strata.
    pub(super) strata: usize,
    /// Numbers in a `Counts`.
    pub(super) width: usize,
}

impl SideCounts {
    /// The counts of all clusters: `[strata, width]`, row-major.
    pub(super) fn totals(&self) -> Counts {
        let mut totals = vec![0; self.strata * self.width];
        self.clusters.iter().for_each(|cluster| self.add(&mut totals, cluster));
        totals
    }

    /// Adds a cluster to sums of shape `[strata, width]`.
    pub(super) fn add(&self, sums: &mut [u64], cluster: &[(usize, Counts)]) {
        for (stratum, counts) in cluster {
            let row = &mut sums[stratum * self.width..][..self.width];
            row.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// Posts by cluster, in one stratum or in all; clusters without any are left out.
    pub(super) fn sizes(&self, stratum: Option<usize>) -> Vec<u64> {
        let of = |cluster: &Vec<(usize, Counts)>| {
            let strata = cluster.iter().filter(|(at, _)| stratum.is_none_or(|only| only == *at));
            strata.map(|(_, counts)| counts[0]).sum::<u64>()
        };
        self.clusters.iter().map(of).filter(|&size| size > 0).collect()
    }
}
