//! Options of the commands on stores of posts, declared once with the help that teaches them.

use std::path::PathBuf;

use clap::Args;

/// Options of `stoa posts ingest`.
#[derive(Args, Debug)]
pub struct IngestArgs {
    /// Files, folders, archives, or `-` for standard input: X archives, API and stream JSON of X,
    /// Gnip, Bluesky, Mastodon, ActivityPub, Reddit; JSONL, CSV, TSV, Parquet, text; .gz, .bz2, .zst,
    /// .zip and .tar are opened. With the feature `remote` also addresses: s3://, gs://, az://, https://;
    /// one that ends in / stands for all objects below it.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Directory of the store. A run that was stopped resumes there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Format, when it is not detected from the content: jsonl, json, csv, tsv, text, parquet, x, gnip, bluesky,
    /// mastodon, activitypub, reddit.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub format: String,
    /// Columns or keys by part of a post: `--map text=body,author=writer,id=nr`. Columns of tables may be
    /// numbered: `--map text=6`. In JSON a name that starts with `/` is a JSON pointer.
    #[arg(long, value_name = "PART=NAME", value_delimiter = ',')]
    pub map: Vec<String>,
    /// How tables quote fields, when that is not to be found from the file: none, double (""), backslash (\").
    #[arg(long, value_name = "HOW")]
    pub quote: Option<String>,
    /// What parts the fields of tables: a character, or tab, comma, semicolon, bar, space [default: found
    /// from the file].
    #[arg(long, value_name = "CHARACTER", allow_hyphen_values = true)]
    pub delimiter: Option<String>,
    /// Tables have no header; their columns are numbered with --map.
    #[arg(long)]
    pub no_header: bool,
    /// How dates are written that can be read in two ways: day-first, month-first, or excel (month first, and
    /// numbers are days of a spreadsheet). Such dates are not read where it is not stated.
    #[arg(long, value_name = "ORDER", default_value = "unstated")]
    pub dates: String,
    /// Encoding of text, such as utf-8, utf-16le, windows-1252, shift_jis [default: found from the bytes:
    /// UTF-8, UTF-16 or windows-1252].
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// Stages to run: normalise, language, rules, decontaminate, exact, near, pii, threads
    /// [default: all].
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub stages: Vec<String>,
    /// Profile of rules: posts, gopher, c4, dialogpt.
    #[arg(long, value_name = "NAME", default_value = "posts")]
    pub rules: String,
    /// Why these posts may be used, where the source does not say: own-archive, opt-in, licence,
    /// public-sector, …
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub basis: String,
    /// Their licence, where the source does not say.
    #[arg(long, value_name = "NAME")]
    pub licence: Option<String>,
    /// Evaluation sets (JSONL or text): posts that repeat their texts are dropped.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub decontaminate: Vec<PathBuf>,
    /// What the held-out side must not share with the training side: `author` (no author and no thread; posts
    /// in threads of the other side are set aside) or `thread` (no thread). Where authors cannot be
    /// divided, as in one person's archive, it is by thread.
    #[arg(long, value_name = "BY", default_value = "author")]
    pub split: String,
    /// Fail when more records than this are rejected: a number, or a share such as 1%.
    #[arg(long, value_name = "N|P%")]
    pub max_rejects: Option<String>,
    /// Keep what precedes the damage when a source is cut short.
    #[arg(long)]
    pub keep_truncated: bool,
    /// Read quoted, reposted and referenced posts only as part of the post that holds them.
    #[arg(long)]
    pub no_embedded: bool,
    /// Key of author hashes, for stores that must agree [default: made in the store].
    #[arg(long, value_name = "FILE")]
    pub author_key: Option<PathBuf>,
    /// Posts in a shard; a shard is what a thread of this program holds in memory.
    #[arg(long, value_name = "N", default_value_t = 1 << 16)]
    pub shard_posts: usize,
    /// Do one machine's part of the work: `2/8` is the second of eight. All see the same sources and the
    /// same DIR; the store has the bytes that one machine makes.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// With --shard: do this phase alone, and fail when an earlier one is not complete.
    #[arg(long, value_name = "NAME", requires = "shard")]
    pub phase: Option<String>,
    /// With --shard: seconds without progress of the others after which to give up at the end of a phase
    /// [default: 3600, with --phase 0].
    #[arg(long, value_name = "SECONDS", requires = "shard")]
    pub wait: Option<u64>,
}

/// Options of `stoa posts jobs`.
#[derive(Args, Debug)]
pub struct JobsArgs {
    /// Machines to share the work.
    #[arg(long, value_name = "N")]
    pub shards: usize,
    /// Directory to write the job files to.
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Processor cores of a machine's task.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub cores: usize,
    /// Memory of a machine's task, in gigabytes.
    #[arg(long, value_name = "GB", default_value_t = 8)]
    pub memory: usize,
    /// Time limit of a phase, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub hours: usize,
    /// The program on the machines.
    #[arg(long, value_name = "PATH", default_value = "stoa")]
    pub program: String,
    /// Kubernetes: container image with the program.
    #[arg(long, value_name = "IMAGE", default_value = "stoa:latest")]
    pub image: String,
    /// Kubernetes: persistent volume claim that holds sources and store.
    #[arg(long, value_name = "NAME", default_value = "posts")]
    pub claim: String,
    /// Kubernetes: where the claim is mounted.
    #[arg(long, value_name = "PATH", default_value = "/shared")]
    pub mount: String,
    /// What to ingest: the sources and options of `stoa posts ingest`, after `--`.
    #[arg(last = true, required = true, value_name = "INGEST")]
    pub ingest: Vec<String>,
}

/// Options of `stoa posts explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Identifier of the post.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Options of `stoa posts forget`.
#[derive(Args, Debug)]
pub struct ForgetArgs {
    /// Directory of the store.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Identifiers of posts.
    #[arg(long, value_name = "ID", num_args = 1.., required_unless_present = "author")]
    pub id: Vec<String>,
    /// Authors, by handle, identifier, or the hash that stands in the store.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub author: Vec<String>,
    /// Key of author hashes, where it does not lie in the store.
    #[arg(long, value_name = "FILE")]
    pub author_key: Option<PathBuf>,
    /// Directories of runs to look through for token shards made from this store.
    #[arg(long, value_name = "DIR", num_args = 1.., default_value = "runs")]
    pub runs: Vec<PathBuf>,
}

/// Options of `stoa posts stats`.
#[derive(Args, Debug)]
pub struct StatsArgs {
    /// Directory of the store.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Compare every file with its checksum.
    #[arg(long)]
    pub verify: bool,
}

/// Options of `stoa posts sample`.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// Directory of the store.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// How many posts.
    #[arg(long, short, value_name = "N", default_value_t = 20)]
    pub n: usize,
    /// Seed that draws them. Same seed, same posts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Only posts that this rule dropped; `kept` for those that every rule kept.
    #[arg(long, value_name = "RULE")]
    pub dropped_by: Option<String>,
}

/// Options of `stoa posts diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Directory of a store.
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// Directory of another store.
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
}
