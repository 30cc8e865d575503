//! JSON values one at a time out of arrays, sequences and large objects, without reading the whole.
//!
//! An object of up to 8 MiB is one record, as pages of APIs are. **A larger one is walked through, and arrays
//! of posts in it are read element by element**, at any depth. An array in it is one of posts when its key is a
//! usual one ([`HOLDERS`], [`COLLECTIONS`]), or when its first element is read as a post; never when its key names what archives
//! keep beside posts ([`CLOSED`]: likes, messages, contacts). Every array that is read so, and every one that
//! is passed over, is counted under its key. What stands beside an array, such as the users of a page, is not
//! joined with its posts, but for the account of an archive before them. A large object without any such array is a record that is too long.

use super::framing::{Raw, RawFrame, json_frame};
use super::input::{Framed, Input, Within};
use super::json;
use super::network::{HOLDERS, Shaping, found};
use super::record::{Found, Part};
use super::remarks::Remarks;
use crate::error::{PostsError, RejectReason};

/// Bytes of the largest object that is read whole.
const WHOLE_BYTES: usize = 8 << 20;
/// How deep large objects are walked into.
const DEEPEST: usize = 128;
/// Keys of arrays of posts, beside those of pages and threads.
const COLLECTIONS: &[&str] = &["records", "items", "orderedItems", "feed"];
/// Keys of arrays that are never read, without hyphens and underscores.
const CLOSED: &[&str] = &[
    "like",
    "likes",
    "favourites",
    "favorites",
    "bookmarks",
    "follower",
    "followers",
    "following",
    "messages",
    "directmessages",
    "directmessage",
    "dms",
    "conversations",
    "dmconversation",
    "block",
    "blocks",
    "mute",
    "mutes",
    "contact",
    "contacts",
    "users",
    "deletedtweets",
];

const WALKED: &str = "objects too large to be read whole, walked through for arrays of posts";
const READ: &str = "arrays of large objects read as posts";
const LEFT: &str = "elements of arrays of large objects left unread";

/// What is being walked through.
enum Level {
    /// An array whose elements are records.
    Array,
    /// An object; of one that is a record itself, where it starts and how many frames came before it.
    Object(Option<(u64, u64, u64)>),
}

/// JSON values of a source.
pub(super) struct Values<'a> {
    input: Input<'a>,
    pub(super) archive: bool,
    shaping: Shaping,
    levels: Vec<Level>,
    /// Frames given so far.
    given: u64,
    /// The account of the archive that is walked through, as it is written.
    account: Option<String>,
    remarks: Remarks,
}

impl<'a> Values<'a> {
    pub(super) fn open(
        mut input: Input<'a>,
        archive: bool,
        shaping: Shaping,
    ) -> Result<Values<'a>, PostsError> {
        if archive {
            input.peek_solid()?;
            // `window.YTD.tweets.part0 = [`, `Grailbird.data.tweets_2013_01 =`
            let assigned = input.until(|byte| byte == b'=')?.map(|framed| framed.text);
            let name = assigned.and_then(Result::ok).unwrap_or_default();
            let name = name.trim_start_matches("window.").trim_end_matches('=').trim();
            let kind = name.split('.').nth(1).unwrap_or("");
            let month = name.strip_prefix("Grailbird.data.tweets_");
            let of_owner =
                matches!(kind, "tweets" | "tweet" | "community_tweet" | "deleted_tweets");
            if !of_owner && month.is_none() {
                let kind = name.strip_prefix("Grailbird.data.").unwrap_or(kind);
                let path = input.path().to_path_buf();
                return Err(PostsError::NotTweets { path, kind: kind.to_string() });
            }
        }
        let mut levels = Vec::new();
        if input.peek_solid()? == Some(b'[') {
            input.skip_byte(b'[');
            levels.push(Level::Array);
        }
        let remarks = Remarks::default();
        Ok(Values { input, archive, shaping, levels, given: 0, account: None, remarks })
    }

    pub(super) fn remarks(&mut self) -> Remarks {
        std::mem::take(&mut self.remarks)
    }

    fn wrong(&self, place: (u64, u64), cause: &str) -> PostsError {
        PostsError::WrongJson {
            path: self.input.path().to_path_buf(),
            line: place.0,
            byte_offset: place.1,
            cause: cause.to_string(),
        }
    }

    /// The next value that is a record.
    pub(super) fn next(&mut self) -> Result<Option<RawFrame>, PostsError> {
        loop {
            let frame = match self.levels.last() {
                Some(Level::Object(_)) => self.member()?,
                _ => match self.element()? {
                    Element::Frame(frame) => Some(frame),
                    Element::None => None,
                    Element::End => return Ok(None),
                },
            };
            if let Some(frame) = frame {
                self.given += 1;
                return Ok(Some(self.with_account(frame)));
            }
        }
    }

    /// A post as an archive of its own, so that its author is read as in a small archive.
    fn with_account(&self, mut frame: RawFrame) -> RawFrame {
        if let (Some(account), Ok(Raw::Json(post))) = (&self.account, &mut frame.content)
            && post.starts_with('{')
        {
            *post = format!("{{\"account\":[{account}],\"tweets\":[{post}]}}");
        }
        frame
    }

    /// What comes next in an array, or in the source.
    fn element(&mut self) -> Result<Element, PostsError> {
        let in_array = !self.levels.is_empty();
        let place = self.input.place();
        match self.input.peek_solid()? {
            None if in_array => {
                let place = self.input.place();
                Err(self.wrong(place, "the file ends before the array is closed"))
            }
            None => Ok(Element::End),
            Some(byte @ (b',' | b';')) => {
                self.input.skip_byte(byte);
                Ok(Element::None)
            }
            Some(b']') if in_array => {
                self.input.skip_byte(b']');
                self.levels.pop();
                Ok(Element::None)
            }
            Some(b'{') => Ok(self.object()?.map_or(Element::None, Element::Frame)),
            Some(b'[' | b'"') => {
                let place = self.input.place();
                let mut balance = Balance::default();
                let framed = self.input.until(|byte| balance.closes(byte))?;
                let framed = framed.ok_or_else(|| self.wrong(place, INSIDE))?;
                Ok(Element::Frame(json_frame(framed)))
            }
            // Lists of numbers hold no posts; each is a record that is rejected.
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I') if in_array => {
                Ok(Element::Frame(json_frame(self.input.scalar()?)))
            }
            Some(byte) => {
                let place = if in_array { self.input.place() } else { place };
                let cause = format!("a value cannot start with {:?}", char::from(byte));
                Err(self.wrong(place, &cause))
            }
        }
    }

    /// An object that is a record: whole, or walked into when it is large.
    fn object(&mut self) -> Result<Option<RawFrame>, PostsError> {
        let (line, byte_offset) = self.input.place();
        match self.whole()? {
            Some(framed) => Ok(Some(json_frame(framed))),
            None => {
                self.input.skip_byte(b'{');
                self.remarks.add(WALKED, 1);
                self.levels.push(Level::Object(Some((line, byte_offset, self.given))));
                Ok(None)
            }
        }
    }

    /// An object, unless it is large.
    fn whole(&mut self) -> Result<Option<Framed>, PostsError> {
        let place = self.input.place();
        let limit = WHOLE_BYTES.min(self.input.record_limit_bytes());
        let mut balance = Balance::default();
        match self.input.within(limit, |byte| balance.closes(byte))? {
            Within::Whole(framed) => Ok(Some(framed)),
            Within::Longer => Ok(None),
            Within::Ended => Err(self.wrong(place, INSIDE)),
        }
    }

    /// The next member of the large object at hand.
    fn member(&mut self) -> Result<Option<RawFrame>, PostsError> {
        match self.input.peek_solid()? {
            Some(b',') => self.input.skip_byte(b','),
            Some(b'}') => {
                self.input.skip_byte(b'}');
                let Some(Level::Object(Some((line, byte_offset, given)))) = self.levels.pop()
                else {
                    return Ok(None);
                };
                let bytes = (self.input.place().1 - byte_offset) as usize;
                let limit_bytes = WHOLE_BYTES.min(self.input.record_limit_bytes());
                let content = Err(RejectReason::TooLong { bytes, limit_bytes });
                return Ok((given == self.given).then_some(RawFrame {
                    line,
                    byte_offset,
                    content,
                }));
            }
            Some(b'"') => {
                let key = self.key()?;
                return self.value(&key);
            }
            None => {
                let place = self.input.place();
                return Err(self.wrong(place, INSIDE));
            }
            Some(byte) => {
                let place = self.input.place();
                let cause = format!("a key cannot start with {:?}", char::from(byte));
                return Err(self.wrong(place, &cause));
            }
        }
        Ok(None)
    }

    /// The key of a member, and the colon after it.
    fn key(&mut self) -> Result<String, PostsError> {
        let place = self.input.place();
        let mut balance = Balance::default();
        let framed = self.input.until(|byte| balance.closes(byte))?;
        let framed = framed.ok_or_else(|| self.wrong(place, INSIDE))?;
        let key = framed.text.ok().and_then(|text| serde_json::from_str(&text).ok());
        match self.input.peek_solid()? {
            Some(b':') => self.input.skip_byte(b':'),
            None => return Err(self.wrong(place, INSIDE)),
            Some(_) => return Err(self.wrong(place, "a key without a colon after it")),
        }
        Ok(key.unwrap_or_default())
    }

    /// The value of a member: arrays of posts are read, objects walked into, the rest is passed over.
    fn value(&mut self, key: &str) -> Result<Option<RawFrame>, PostsError> {
        let place = self.input.place();
        match self.input.peek_solid()? {
            None => return Err(self.wrong(place, INSIDE)),
            Some(b'[') => {
                self.input.skip_byte(b'[');
                return self.array(key);
            }
            Some(b'{') if self.levels.len() < DEEPEST => {
                self.input.skip_byte(b'{');
                self.levels.push(Level::Object(None));
            }
            Some(b'{' | b'"') => {
                let mut balance = Balance::default();
                if !self.input.skip_until(|byte| balance.closes(byte))? {
                    return Err(self.wrong(place, INSIDE));
                }
            }
            Some(byte) => {
                if self.input.scalar()?.text.is_ok_and(|text| text.is_empty()) {
                    let cause = format!("a value cannot start with {:?}", char::from(byte));
                    return Err(self.wrong(place, &cause));
                }
            }
        }
        Ok(None)
    }

    /// An array of a large object, after its bracket.
    fn array(&mut self, key: &str) -> Result<Option<RawFrame>, PostsError> {
        let plain = key.to_lowercase().replace(['-', '_'], "");
        let first = self.input.peek_solid()?;
        if first == Some(b']') {
            self.input.skip_byte(b']');
            return Ok(None);
        }
        if key == "account" && first == Some(b'{') {
            self.account = self.whole()?.and_then(|account| account.text.ok());
            return self.pass_over(key);
        }
        if first != Some(b'{') || CLOSED.contains(&plain.as_str()) || self.levels.len() >= DEEPEST {
            return self.pass_over(key);
        }
        let mut frame = None;
        if !HOLDERS.contains(&key) && !COLLECTIONS.contains(&key) {
            // A first element that is large is walked into, and so shows what it holds.
            if let Some(framed) = self.whole()? {
                if !self.is_post(&framed) {
                    return self.pass_over(key);
                }
                frame = Some(json_frame(framed));
            }
        }
        self.remarks.add(&format!("{READ}: {}", shown(key)), 1);
        self.levels.push(Level::Array);
        Ok(frame)
    }

    fn is_post(&self, framed: &Framed) -> bool {
        let Ok(text) = &framed.text else { return false };
        let Ok(value) = json::parse(text, &mut Remarks::default()) else { return false };
        found(&value, &self.shaping).iter().any(|found| match found {
            Found::Post(record) => record.get(Part::Text).is_some() || record.gone.is_some(),
            Found::Notice(_) | Found::Note(_) => true,
            Found::Other | Found::Bot(_) | Found::Rejected(_) => false,
        })
    }

    /// Passes over the rest of an array, counting its elements.
    fn pass_over(&mut self, key: &str) -> Result<Option<RawFrame>, PostsError> {
        let place = self.input.place();
        let mut balance = Balance { depth: 1, ..Balance::default() };
        let mut elements = 1;
        let closed = self.input.skip_until(|byte| {
            elements += u64::from(byte == b',' && balance.depth == 1 && !balance.in_string);
            balance.closes(byte) && balance.depth == 0
        })?;
        if !closed {
            return Err(self.wrong(place, INSIDE));
        }
        self.remarks.add(&format!("{LEFT}: {}", shown(key)), elements);
        Ok(None)
    }
}

const INSIDE: &str = "the file ends inside a value";

/// What comes next in a sequence.
enum Element {
    Frame(RawFrame),
    /// Nothing yet.
    None,
    End,
}

/// A key in a remark: a name of a field, never words.
fn shown(key: &str) -> &str {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !key.is_empty() && key.len() <= 32 && key.bytes().all(name) { key } else { "(another name)" }
}

/// Follows brackets and strings of JSON to the end of a value.
#[derive(Default)]
struct Balance {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Balance {
    /// Takes the next byte; true when it is the last of the value.
    fn closes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}
