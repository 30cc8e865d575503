//! How well languages are identified, and what the rules drop of each: by length, then by language. `right` is a
//! share of the answers, the others of the texts.
//!
//! `cargo run --release -p stoa-posts --example languages -- FILE… [--und OUT]`
//!
//! A file holds JSON lines with `text` and `lang` (a BCP 47 tag or an English name), compressed or not.
//! Texts in languages that neither classifier knows count apart. `--und` leaves the texts that were called
//! `und` as lines `{"lang", "text"}`; `cargo xtask oracle languages` asks lingua about them. The last line
//! is a JSON object.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufWriter, Write};
use stoa_posts::identify::identify;
use stoa_posts::rules::{RulePost, bare_text, profile};
use stoa_posts::{ReadOptions, Rows};

/// What whatlang or whichlang can know.
const KNOWN: &str = "af ar az be bg bn ca cs cy da de el en eo es et fa fi fr gu he hi hr hu hy id it ja ka \
    ko la lt lv mk mr nb nl pa pl pt ro ru sk sl sn sr sv ta te th tl tr uk ur vi zh zu";

/// English names of languages in data sets. Hindi there is in Latin letters, which no tag of a classifier
/// stands for.
const NAMES: [(&str, &str); 8] = [
    ("arabic", "ar"),
    ("english", "en"),
    ("french", "fr"),
    ("german", "de"),
    ("hindi", "hi-Latn"),
    ("italian", "it"),
    ("portuguese", "pt"),
    ("spanish", "es"),
];

/// Counts of one row of a table.
#[derive(Default)]
struct Counts {
    texts: u64,
    und: u64,
    right: u64,
    dropped: u64,
}

impl Counts {
    fn shares(&self) -> [f64; 3] {
        let percent = |part: u64, of: u64| 100.0 * part as f64 / of.max(1) as f64;
        [
            percent(self.und, self.texts),
            percent(self.right, self.texts - self.und),
            percent(self.dropped, self.texts),
        ]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut files, mut out) = (Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--und" => out = arguments.next().map(std::fs::File::create).transpose()?,
            _ => files.push(argument),
        }
    }
    let mut out = out.map(BufWriter::new);
    let rules = profile("posts").ok_or("a profile of that name")?;
    let known: Vec<&str> = KNOWN.split_whitespace().collect();
    let mut by_language: BTreeMap<String, Counts> = BTreeMap::new();
    let mut by_length: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut unknown = Counts::default();
    for file in &files {
        for row in Rows::open(file.as_ref(), &ReadOptions::default())? {
            let row = row?.map_err(|reason| reason.to_string())?;
            let field = |name: &str| row.get(name).unwrap_or_default();
            let (stated, text) = (field("lang"), field("text"));
            let named = NAMES.iter().find(|(name, _)| *name == stated);
            let stated = named.map_or(stated.as_str(), |(_, tag)| tag);
            let found = identify(&text);
            let und = found.language == "und";
            if let Some(out) = out.as_mut().filter(|_| und) {
                writeln!(out, "{}", json!({"lang": stated, "text": text}))?;
            }
            let text = bare_text(&text);
            let post = RulePost { language: found.language, ..RulePost::of_text(&text) };
            let dropped = rules.iter().any(|rule| !rule.judge(&post).keeps());
            let length = match found.letters {
                0..10 => "00-09",
                10..20 => "10-19",
                20..40 => "20-39",
                40..80 => "40-79",
                _ => "80-",
            };
            let rows = match known.contains(&stated) {
                true => vec![
                    by_language.entry(stated.to_string()).or_default(),
                    by_length.entry(length).or_default(),
                ],
                false => vec![&mut unknown],
            };
            for counts in rows {
                counts.texts += 1;
                counts.und += u64::from(und);
                counts.right += u64::from(found.language == stated);
                counts.dropped += u64::from(dropped);
            }
        }
    }
    if let Some(mut out) = out {
        out.flush()?;
    }
    println!("{:12} {:>7} {:>7} {:>9} {:>9}", "", "texts", "und %", "right %", "dropped %");
    let show = |name: &str, counts: &Counts| {
        let [und, right, dropped] = counts.shares();
        println!("{name:12} {:>7} {und:>7.1} {right:>9.1} {dropped:>9.2}", counts.texts);
        json!({"texts": counts.texts, "und": und, "right": right, "dropped": dropped})
    };
    let mut accuracies = serde_json::Map::new();
    for (name, counts) in &by_length {
        accuracies.insert((*name).to_string(), show(name, counts));
    }
    for (name, counts) in &by_language {
        accuracies.insert(name.clone(), show(name, counts));
    }
    accuracies.insert("unknown".to_string(), show("unknown", &unknown));
    println!("{}", Value::Object(accuracies));
    Ok(())
}
