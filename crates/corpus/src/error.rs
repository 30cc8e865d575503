//! What can go wrong between posts and a corpus, with the place and the remedy.

use std::path::PathBuf;
use stoa_durable::FileError;
use stoa_posts::PostsError;
use thiserror::Error;

/// An error that ends an ingest, or a question to a store.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The store would be written into a folder of its own sources.
    #[error("{path}: the store cannot be in the folder that is its source; give another --out")]
    OutIsSource {
        /// The folder.
        path: PathBuf,
    },
    /// Posts could not be read or written.
    #[error(transparent)]
    Posts(PostsError),
    /// The operating system refused.
    #[error("{path}: {cause}; check permissions and the disk")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        cause: std::io::Error,
    },
    /// JSON that does not parse as a whole file.
    #[error("{path}: line {line}, byte {byte_offset}: wrong JSON: {cause}; repair or remove it")]
    WrongJson {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Offset of the value that does not parse.
        byte_offset: u64,
        /// The message of the parser.
        cause: String,
    },
    /// A share that does not exist.
    #[error("shard {text}: write I/N from 1/N to N/N, such as 2/8")]
    NoSuchShare {
        /// What was given.
        text: String,
    },
    /// A rule that a store does not have.
    #[error("`{name}` is no rule of this store; use one of {known}")]
    UnknownRule {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A key file that holds no key.
    #[error(
        "{path}: not an author key (64 hexadecimal digits); give the key this store was made with"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// More rejected records than the bound.
    #[error(
        "{rejected} records were rejected, more than the {bound} allowed; see rejects.jsonl, give the \
         right --format or --map, or raise --max-rejects"
    )]
    TooManyRejects {
        /// Records rejected so far.
        rejected: u64,
        /// The bound.
        bound: u64,
    },
    /// A directory that holds something else.
    #[error(
        "{path}: holds an ingest with other sources or options; give another --out, or remove it"
    )]
    OtherIngest {
        /// The directory.
        path: PathBuf,
    },
    /// A directory with unfinished work of a program that makes other bytes of the same posts.
    #[error(
        "{path}: an earlier version began this ingest; remove {state} and run the command again"
    )]
    OlderWork {
        /// The directory.
        path: PathBuf,
        /// Its folder of work in progress.
        state: PathBuf,
    },
    /// A directory in which another process ingests.
    #[error("{path}: another process works in this directory; wait for it, or give another --out")]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A share of an ingest whose earlier phase others have not done.
    #[error(
        "phase `{phase}` is not complete: {missing} of {tasks} tasks are missing, of shards {shards}; run \
         them again with `--phase {phase} --shard i/n` (what is done is kept), or wait for them with --wait"
    )]
    PhaseIncomplete {
        /// The phase.
        phase: &'static str,
        /// Tasks that are missing.
        missing: usize,
        /// All tasks of it.
        tasks: usize,
        /// Whose they are, as `i/n`.
        shards: String,
    },
    /// A phase that does not exist.
    #[error("there is no phase called `{name}`; use one of {known}")]
    UnknownPhase {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Standard input, which only one machine has.
    #[error("standard input cannot be shared by several machines; write it to a file they all see")]
    SharedStdin,
    /// A directory without a finished ingest.
    #[error("{path}: holds no finished ingest; run `stoa posts ingest SOURCE… --out {path}` first")]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// A name of a profile of rules that is not known.
    #[error("there is no profile of rules called `{name}`; use one of {known}")]
    UnknownProfile {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Too little text to train on and to hold out.
    #[error(
        "{posts} usable posts are too few: at least 2 are needed, one to train on and one to hold out; \
         {dropped} were dropped ({reasons})"
    )]
    TooFewPosts {
        /// Posts that were kept.
        posts: usize,
        /// Posts that were dropped in cleaning.
        dropped: usize,
        /// Counts by reason.
        reasons: String,
    },
}

impl From<FileError> for CorpusError {
    fn from(error: FileError) -> CorpusError {
        CorpusError::Io { path: error.path, cause: error.source }
    }
}

impl From<PostsError> for CorpusError {
    /// What a scan hands back of its sink is the sink's error again.
    fn from(error: PostsError) -> CorpusError {
        match error {
            PostsError::Sink(inner) => match inner.downcast::<CorpusError>() {
                Ok(own) => *own,
                Err(inner) => CorpusError::Posts(PostsError::Sink(inner)),
            },
            error => CorpusError::Posts(error),
        }
    }
}

/// So that a sink of posts may fail with an error of the corpus.
impl From<CorpusError> for PostsError {
    fn from(error: CorpusError) -> PostsError {
        match error {
            CorpusError::Posts(error) => error,
            error => PostsError::Sink(Box::new(error)),
        }
    }
}
