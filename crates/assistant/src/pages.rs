//! The pages of the KV cache: which sequences hold them, and which keep the beginning of a
//! conversation that may come again. A page is found by the hash of its tokens and of what comes
//! before them, be they of a prompt or of an answer. Whole pages only: they hold what reading the
//! tokens again would write (see `decoder`), and they are never written again, so that sequences
//! share them without a copy. Holds ids, not keys and values.

use std::collections::{BTreeSet, HashMap};

use crate::TokenId;

/// Pages given to a sequence, in the order of its tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Ids of the pages.
    pub pages: Vec<u32>,
    /// Tokens at the beginning whose keys and values the pages hold already.
    pub reused: usize,
    /// Pages at the beginning that are whole and known, and the content of the last of them.
    known: usize,
    content: Option<u64>,
}

/// What tells a whole page from others: the content before it, and its tokens.
type Key = (Option<u64>, Box<[TokenId]>);

#[derive(Debug, Default)]
struct Page {
    holders: usize,
    /// Number of its content and what it is found by, when others may share it.
    content: Option<(u64, Key)>,
}

/// How many pages are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// All pages.
    pub total: usize,
    /// Held by requests.
    pub held: usize,
    /// Held by none, kept for prompts that begin so; given up when pages are wanted.
    pub kept: usize,
}

/// All pages of a cache.
#[derive(Debug)]
pub(crate) struct PagePool {
    page_tokens: usize,
    pages: Vec<Page>,
    /// Pages without holders and content.
    free: Vec<u32>,
    /// Pages without holders and with content, longest unused first.
    kept: BTreeSet<(u64, u32)>,
    known: HashMap<Key, u32>,
    contents: u64,
    uses: u64,
}

impl PagePool {
    /// Free pages of `page_tokens` tokens each.
    pub fn new(pages: usize, page_tokens: usize) -> Self {
        PagePool {
            page_tokens,
            pages: (0..pages).map(|_| Page::default()).collect(),
            free: (0..pages as u32).rev().collect(),
            kept: BTreeSet::new(),
            known: HashMap::new(),
            contents: 0,
            uses: 0,
        }
    }

    pub fn counts(&self) -> PageCounts {
        let (total, kept) = (self.pages.len(), self.kept.len());
        PageCounts { total, held: total - kept - self.free.len(), kept }
    }

    /// Pages for `tokens` tokens that begin with `prompt`, as far as possible those that hold its
    /// beginning; `None` when there are not enough. The last token of the prompt is always to be
    /// read: its logits are wanted.
    pub fn lease(&mut self, prompt: &[TokenId], tokens: usize) -> Option<Lease> {
        let mut lease = Lease { pages: Vec::new(), reused: 0, known: 0, content: None };
        let whole = prompt.len().saturating_sub(1) / self.page_tokens;
        for tokens in prompt.chunks_exact(self.page_tokens).take(whole) {
            let Some(&page) = self.known.get(&(lease.content, tokens.into())) else { break };
            lease.content = self.pages[page as usize].content.as_ref().map(|(number, _)| *number);
            lease.pages.push(page);
        }
        lease.known = lease.pages.len();
        lease.reused = lease.known * self.page_tokens;
        let idle = |page: &&u32| self.pages[**page as usize].holders == 0;
        let idle = lease.pages.iter().filter(idle).count();
        let wanted = tokens.div_ceil(self.page_tokens).saturating_sub(lease.known);
        if self.free.len() + self.kept.len() - idle < wanted {
            return None;
        }
        if idle > 0 {
            let shared: BTreeSet<u32> = lease.pages.iter().copied().collect();
            self.kept.retain(|(_, page)| !shared.contains(page));
        }
        lease.pages.iter().for_each(|&page| self.pages[page as usize].holders += 1);
        for _ in 0..wanted {
            let page = self.take();
            self.pages[page as usize].holders = 1;
            lease.pages.push(page);
        }
        Some(lease)
    }

    /// A page for new content, of those without holders.
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let (_, page) = self.kept.pop_first().expect("counted before pages are taken");
            if let Some((_, key)) = self.pages[page as usize].content.take() {
                self.known.remove(&key);
            }
            page
        })
    }

    /// Notes that the first `read` tokens of a sequence are in its pages: the whole ones can be
    /// shared from now on.
    pub fn publish(&mut self, lease: &mut Lease, tokens: &[TokenId], read: usize) {
        let tokens = &tokens[..read.min(tokens.len())];
        for tokens in tokens.chunks_exact(self.page_tokens).skip(lease.known) {
            let key: Key = (lease.content, tokens.into());
            let content = match self.known.get(&key) {
                // Another sequence read the same at the same time; its page stays the known one.
                Some(&page) => self.pages[page as usize].content.as_ref().map(|(n, _)| *n),
                None => {
                    let page = lease.pages[lease.known];
                    self.contents += 1;
                    self.known.insert(key.clone(), page);
                    self.pages[page as usize].content = Some((self.contents, key));
                    Some(self.contents)
                }
            };
            lease.content = content;
            lease.known += 1;
        }
    }

    /// Takes pages back. What can be shared stays until its page is wanted: the longest unused goes
    /// first, and of one sequence the last page, without which the others can still be found.
    pub fn release(&mut self, lease: Lease) {
        for &page in lease.pages.iter().rev() {
            let held = &mut self.pages[page as usize];
            held.holders -= 1;
            if held.holders > 0 {
                continue;
            }
            if held.content.is_some() {
                self.uses += 1;
                self.kept.insert((self.uses, page));
            } else {
                self.free.push(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of equal tokens for each of `ids`, then `rest`.
    fn prompt(ids: &[u32], rest: &[u32]) -> Vec<TokenId> {
        let page = |&id: &u32| [TokenId(id); 4];
        ids.iter().flat_map(page).chain(rest.iter().copied().map(TokenId)).collect()
    }

    fn read(pool: &mut PagePool, prompt: &[TokenId]) -> Lease {
        let mut lease = pool.lease(prompt, prompt.len() + 1).unwrap();
        pool.publish(&mut lease, prompt, prompt.len());
        lease
    }

    #[test]
    fn prompts_that_begin_alike_share_their_whole_pages() {
        let mut pool = PagePool::new(9, 4);
        let first = read(&mut pool, &prompt(&[1, 2, 3], &[5]));
        assert_eq!((first.reused, first.pages.len()), (0, 4));
        // Alive or not, and while both are alive.
        let second = read(&mut pool, &prompt(&[1, 2, 9], &[5, 5]));
        assert_eq!((second.reused, &second.pages[..2]), (8, &first.pages[..2]));
        assert_eq!(pool.counts(), PageCounts { total: 9, held: 6, kept: 0 });
        pool.release(first);
        pool.release(second);
        assert_eq!(pool.counts(), PageCounts { total: 9, held: 0, kept: 4 });
        // The last token is read again, even where its page is known.
        assert_eq!(read(&mut pool, &prompt(&[1, 2, 3], &[])).reused, 8);
        // Equal tokens after another beginning are another content.
        assert_eq!(read(&mut pool, &prompt(&[7, 2], &[5])).reused, 0);
    }

    #[test]
    fn what_two_sequences_read_at_once_is_kept_once() {
        let mut pool = PagePool::new(8, 4);
        let tokens = prompt(&[1, 2], &[5]);
        let (mut a, mut b) = (pool.lease(&tokens, 9).unwrap(), pool.lease(&tokens, 9).unwrap());
        pool.publish(&mut a, &tokens, 4);
        pool.publish(&mut b, &tokens, 9);
        pool.publish(&mut a, &tokens, 9);
        pool.release(a);
        pool.release(b);
        assert_eq!(pool.counts(), PageCounts { total: 8, held: 0, kept: 2 });
        assert_eq!(pool.lease(&tokens, 9).unwrap().reused, 8);
    }

    #[test]
    fn the_longest_unused_page_goes_first_and_too_few_are_none() {
        let mut pool = PagePool::new(4, 4);
        let old = read(&mut pool, &prompt(&[1, 2], &[]));
        pool.release(old);
        let new = read(&mut pool, &prompt(&[3], &[]));
        pool.release(new);
        assert_eq!(pool.counts(), PageCounts { total: 4, held: 0, kept: 3 });
        assert_eq!(pool.lease(&prompt(&[8], &[]), 17), None);
        assert_eq!(pool.counts().kept, 3, "a lease that fails takes nothing");
        // Two pages: the free one, and the end of the older prompt.
        assert_eq!(pool.lease(&prompt(&[8], &[]), 8).unwrap().reused, 0);
        assert_eq!(pool.counts(), PageCounts { total: 4, held: 2, kept: 2 });
        for kept in [1, 3] {
            assert_eq!(pool.lease(&prompt(&[kept], &[0]), 4).unwrap().reused, 4);
        }
    }
}
