//! Which side of the held-out border a thread is on: by its name alone, or so that the two sides share
//! neither a thread nor an author.
//!
//! **By author.** Who writes is not independent of where: to put all threads that share an author on one
//! side would put almost all of a network there, since its authors hang together. So authors are divided first
//! and threads follow. An author's hash puts them in one of sixteen classes; one class is held out. A
//! thread is on the side of the author who began it, and posts in it by authors of the other side are set
//! aside: they are on neither. What is lost is the posts that cross the border, at most 2 × 1/16 × 15/16
//! of the replies when people answer each other by chance; what is not lost is a thread, or a post
//! in a thread of one author.
//!
//! **By thread.** The side is a hash of the thread's name. This is also what remains when authors cannot
//! be divided: in one person's archive, in a small corpus, or where no class holds about a sixteenth.

use crate::conversations::{Conversation, reading_order};
use crate::near::order_of;
use serde::{Deserialize, Serialize};
use stoa_posts::{HELD_OUT_ONE_IN, Post, Split, split_of};
use stoa_random::stable_hash;

/// How the border is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitBy {
    /// No thread and no author is on both sides; by thread where authors cannot be divided.
    #[default]
    Author,
    /// No thread is on both sides.
    Thread,
}

impl SplitBy {
    /// Both ways with the names that the command line uses.
    pub const ALL: [(&'static str, SplitBy); 2] =
        [("author", SplitBy::Author), ("thread", SplitBy::Thread)];
}

/// Fewest threads that are held out by author: what is measured on fewer posts is mostly chance, and by
/// thread more of a small corpus is held out.
const MIN_HELD_OUT: u64 = 50;
/// Classes of authors.
const CLASSES: usize = HELD_OUT_ONE_IN as usize;

/// The class of an author, by name or by hash; a post without author has none.
pub(crate) fn class_of(author: &str) -> Option<usize> {
    // A stream of its own: a thread named like its author would else share its side.
    let hash = || stable_hash(format!("author {}", author.to_lowercase()).as_bytes());
    (!author.is_empty()).then(|| (hash() % HELD_OUT_ONE_IN) as usize)
}

/// What decides who began a thread, the least first: what answers nothing comes before what answers, the
/// earlier before the later, the first read before the next.
pub(crate) fn beginning(post: &Post, place: u64) -> [u64; 3] {
    [u64::from(post.in_reply_to.is_some()), order_of(post.created_at_unix_seconds), place]
}

/// How much each class of authors wrote and began, by which one is chosen to be held out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Classes {
    posts: [u64; CLASSES],
    threads: [u64; CLASSES],
}

impl Classes {
    /// Counts a post of an author of a class.
    pub(crate) fn wrote(&mut self, class: usize) {
        self.posts[class] += 1;
    }

    /// Counts a thread that an author of a class began.
    pub(crate) fn began(&mut self, class: usize) {
        self.threads[class] += 1;
    }

    /// Adds the counts of other threads.
    pub(crate) fn add(&mut self, other: &Classes) {
        self.posts.iter_mut().zip(other.posts).for_each(|(count, more)| *count += more);
        self.threads.iter_mut().zip(other.threads).for_each(|(count, more)| *count += more);
    }

    /// The border at the class to hold out: the first that wrote between half and twice of a sixteenth of the posts and
    /// began as much of the threads, fifty at least. In a large corpus of many authors that is class 0, whatever is
    /// added to it; an author who wrote much of a small one pushes their class out of the range. None,
    /// when no class is in it.
    pub(crate) fn border(&self) -> Option<Border> {
        let fits = |counts: &[u64; CLASSES], class: usize| {
            let all: u64 = counts.iter().sum();
            let share = HELD_OUT_ONE_IN * counts[class];
            // At least one, at most an eighth: never all.
            share > 0 && 2 * share >= all && share <= 2 * all
        };
        let fit = |&class: &usize| {
            let enough = self.threads[class] >= MIN_HELD_OUT;
            enough && fits(&self.posts, class) && fits(&self.threads, class)
        };
        (0..CLASSES).find(fit).map(Border)
    }
}

/// A border between authors: that of the class that is held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Border(usize);

impl Border {
    fn of(self, class: usize) -> Split {
        if class == self.0 { Split::HeldOut } else { Split::Train }
    }

    /// The side of a thread, given the class of the author who began it. A thread without authors, for it
    /// names no author, goes by its own name.
    pub(crate) fn side(self, thread: &str, began: Option<usize>) -> Split {
        began.map_or_else(|| split_of(thread), |class| self.of(class))
    }

    /// Whether posts of an author stay in threads of a side; posts without author do.
    pub(crate) fn stays(self, side: Split, author: &str) -> bool {
        class_of(author).is_none_or(|class| self.of(class) == side)
    }
}

/// Threads whose two sides share no author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitThreads {
    /// To train on.
    pub train: Vec<Conversation>,
    /// To measure with.
    pub held_out: Vec<Conversation>,
    /// Posts on neither side.
    pub set_aside: usize,
}

/// Parts threads by author, in memory: what an ingest does on disk. `None` when authors cannot be divided.
pub fn split_by_author(threads: Vec<Conversation>) -> Option<SplitThreads> {
    let mut classes = Classes::default();
    let mut began = Vec::with_capacity(threads.len());
    for thread in &threads {
        let posts = thread.replies.iter().map(|reply| &reply.post).enumerate();
        let named = posts.filter_map(|(place, post)| Some((class_of(&post.author)?, place, post)));
        let named: Vec<(usize, usize, &Post)> = named.collect();
        named.iter().for_each(|(class, ..)| classes.wrote(*class));
        let first = named.iter().min_by_key(|(_, place, post)| beginning(post, *place as u64));
        let first = first.map(|(class, ..)| *class);
        first.into_iter().for_each(|class| classes.began(class));
        began.push(first);
    }
    let border = classes.border()?;
    let mut parted = SplitThreads::default();
    for (thread, began) in threads.into_iter().zip(began) {
        let side = border.side(&thread.id, began);
        let before = thread.replies.len();
        let posts = thread.replies.into_iter().map(|reply| reply.post);
        let posts: Vec<Post> = posts.filter(|post| border.stays(side, &post.author)).collect();
        parted.set_aside += before - posts.len();
        match side {
            Split::Train => parted.train.push(reading_order(thread.id, posts)),
            Split::HeldOut => parted.held_out.push(reading_order(thread.id, posts)),
        }
    }
    Some(parted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(posts: &[(usize, u64)], threads: &[(usize, u64)]) -> Classes {
        let mut classes = Classes::default();
        posts.iter().for_each(|&(class, count)| classes.posts[class] = count);
        threads.iter().for_each(|&(class, count)| classes.threads[class] = count);
        classes
    }

    #[test]
    fn the_first_class_of_about_a_sixteenth_is_held_out() {
        let even: Vec<(usize, u64)> = (0..CLASSES).map(|class| (class, 60)).collect();
        assert_eq!(classes(&even, &even).border(), Some(Border(0)));
        // One author who wrote a third takes their class out of the choice.
        let mut loud = even.clone();
        loud[0].1 = 450;
        assert_eq!(classes(&loud, &even).border(), Some(Border(1)));
        // So does a class that begins nothing.
        let mut silent = even.clone();
        silent[0].1 = 0;
        assert_eq!(classes(&even, &silent).border(), Some(Border(1)));
        // Too few threads to measure with.
        let few: Vec<(usize, u64)> = (0..CLASSES).map(|class| (class, 49)).collect();
        assert_eq!(classes(&even, &few).border(), None);
        // One author alone, two, or none: authors cannot be divided.
        assert_eq!(classes(&[(3, 500)], &[(3, 90)]).border(), None);
        assert_eq!(classes(&[(3, 500), (4, 500)], &[(3, 90), (4, 9)]).border(), None);
        assert_eq!(Classes::default().border(), None);
    }

    #[test]
    fn classes_are_of_authors_whatever_the_case_and_nobody_has_none() {
        assert_eq!(class_of(""), None);
        assert_eq!(class_of("Ann"), class_of("ann"));
        let mut counts = [0; CLASSES];
        (0..16_000).filter_map(|n| class_of(&format!("u{n}"))).for_each(|class| counts[class] += 1);
        // A thousand each; five standard deviations are 153.
        assert!(counts.iter().all(|count| (847..1153).contains(count)), "{counts:?}");
    }
}
