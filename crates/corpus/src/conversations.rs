//! Threads: which post answers which, with missing parents, and the order in which a thread is read.
//!
//! It does not make text of a thread; `corpus` does. An ingest finds threads on disk (`ingest`).

use std::collections::{BTreeMap, HashMap, HashSet};
use stoa_posts::Post;

/// A post in its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The post.
    pub post: Post,
    /// Position in the thread of the post it answers, when that post is there.
    pub parent: Option<usize>,
}

/// A thread: posts in reading order, each after the one it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Identifier: the source's conversation id, or that of the first post, present or missing.
    pub id: String,
    /// Posts, depth first, replies by time.
    pub replies: Vec<Reply>,
    /// Posts that are answered here but were not given, or were dropped.
    pub missing_parents: usize,
}

impl Conversation {
    /// The thread with only the posts marked `kept`, one mark for each in reading order. What answered a
    /// post that went begins a branch of its own.
    pub(crate) fn retain(self, kept: &[bool]) -> Conversation {
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.replies.len());
        let mut replies: Vec<Reply> = Vec::new();
        let mut orphaned: HashSet<usize> = HashSet::new();
        for (index, reply) in self.replies.into_iter().enumerate() {
            if kept.get(index) != Some(&true) {
                places.push(None);
                continue;
            }
            let parent = reply.parent.and_then(|parent| places[parent]);
            if let (Some(gone), None) = (reply.parent, parent) {
                orphaned.insert(gone);
            }
            places.push(Some(replies.len()));
            replies.push(Reply { post: reply.post, parent });
        }
        let missing_parents = self.missing_parents + orphaned.len();
        Conversation { id: self.id, replies, missing_parents }
    }
}

/// Threads posts in memory: what an ingest does on disk, and what that is tested against.
///
/// A post whose parent is absent starts a branch of its own in the same thread; posts that answer the
/// same absent post stay together. The answer depends on the order of `posts` only where identifiers
/// repeat (the first wins) or times are equal.
pub fn conversations(posts: Vec<Post>) -> Vec<Conversation> {
    let mut seen: HashSet<&str> = HashSet::new();
    let first: Vec<bool> = posts.iter().map(|post| seen.insert(post.id.as_str())).collect();
    let roots = Roots::new(&posts);
    let mut threads: BTreeMap<usize, (String, Vec<usize>)> = BTreeMap::new();
    let mut first_of: HashMap<String, usize> = HashMap::new();
    for (index, post) in posts.iter().enumerate().filter(|(index, _)| first[*index]) {
        let id = roots.thread_of(post);
        let first = *first_of.entry(id.clone()).or_insert(index);
        threads.entry(first).or_insert_with(|| (id, Vec::new())).1.push(index);
    }
    let mut posts: Vec<Option<Post>> = posts.into_iter().map(Some).collect();
    let mut members = |places: Vec<usize>| -> Vec<Post> {
        places.into_iter().filter_map(|place| posts[place].take()).collect()
    };
    threads.into_values().map(|(id, places)| reading_order(id, members(places))).collect()
}

/// Finds the thread of a post by following reply links.
struct Roots<'a> {
    by_id: HashMap<&'a str, &'a Post>,
}

impl<'a> Roots<'a> {
    fn new(posts: &'a [Post]) -> Roots<'a> {
        let mut by_id = HashMap::new();
        for post in posts {
            by_id.entry(post.id.as_str()).or_insert(post);
        }
        Roots { by_id }
    }

    /// Follows links upward. A loop of links, which only damaged data has, is named by its least
    /// identifier.
    fn thread_of(&self, post: &Post) -> String {
        let mut current = post;
        let mut visited: Vec<&str> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        loop {
            if let Some(conversation) = &current.conversation {
                return conversation.clone();
            }
            let Some(parent) = &current.in_reply_to else { return current.id.clone() };
            if let Some(place) = places.insert(&current.id, visited.len()) {
                return visited[place..].iter().min().unwrap_or(&current.id.as_str()).to_string();
            }
            visited.push(&current.id);
            match self.by_id.get(parent.as_str()) {
                Some(found) => current = found,
                None => return parent.clone(),
            }
        }
    }
}

/// The posts of a thread in reading order.
pub(crate) fn reading_order(id: String, mut members: Vec<Post>) -> Conversation {
    members.sort_by_key(|post| post.created_at_unix_seconds);
    let position: HashMap<&str, usize> =
        members.iter().enumerate().map(|(index, post)| (post.id.as_str(), index)).collect();
    let parents: Vec<Option<usize>> = members
        .iter()
        .enumerate()
        .map(|(index, post)| {
            let parent = post.in_reply_to.as_deref().and_then(|parent| position.get(parent));
            parent.copied().filter(|&parent| parent != index)
        })
        .collect();
    let missing_parents: HashSet<&str> = members
        .iter()
        .filter_map(|post| post.in_reply_to.as_deref())
        .filter(|parent| !position.contains_key(parent))
        .collect();
    let missing_parents = missing_parents.len();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); members.len()];
    let mut tops = Vec::new();
    for (index, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(index),
            None => tops.push(index),
        }
    }
    let mut order: Vec<usize> = Vec::with_capacity(members.len());
    let mut placed: Vec<Option<usize>> = vec![None; members.len()];
    // Posts in a loop of links hang on no top; each unplaced one in turn then serves as one.
    for top in tops.into_iter().chain(0..members.len()) {
        let mut stack = vec![top];
        while let Some(index) = stack.pop() {
            if placed[index].is_none() {
                placed[index] = Some(order.len());
                order.push(index);
                stack.extend(children[index].iter().rev());
            }
        }
    }
    let mut members: Vec<Option<Post>> = members.into_iter().map(Some).collect();
    let mut replies: Vec<Reply> = Vec::with_capacity(members.len());
    for (place, index) in order.into_iter().enumerate() {
        // A link that points forward in reading order closes a loop; it is cut.
        let parent =
            parents[index].and_then(|parent| placed[parent]).filter(|&parent| parent < place);
        if let Some(post) = members[index].take() {
            replies.push(Reply { post, parent });
        }
    }
    Conversation { id, replies, missing_parents }
}
