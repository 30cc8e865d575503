//! Tables of any dialect and encoding: what `csv` writes is read back, and what marks would swallow is not.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use csv::{QuoteStyle, WriterBuilder};
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;
use stoa_posts::{Item, PostsError, Quote, ReadOptions, Remarks, TableOptions, normalise, scan};

/// Texts, reasons of rejects, and remarks of a table.
type Seen = (Vec<String>, Vec<String>, Remarks);

fn read_with(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Seen, PostsError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let (mut texts, mut reasons) = (Vec::new(), Vec::new());
    let scanned = scan(&path, options, &AtomicU64::new(0), &mut |item| {
        match item {
            Item::Post(post) => texts.push(post.text),
            Item::Rejected(rejected) => reasons.push(rejected.reason.to_string()),
            Item::Notice(_) => {}
        }
        Ok(())
    })?;
    Ok((texts, reasons, scanned.remarks))
}

fn read(name: &str, bytes: &[u8]) -> Seen {
    read_with(name, bytes, &ReadOptions::default()).unwrap()
}

fn mapped(pairs: &[(&str, &str)]) -> ReadOptions {
    let map = pairs.iter().map(|(part, name)| (part.to_string(), name.to_string())).collect();
    ReadOptions { map, ..ReadOptions::default() }
}

fn total(remarks: &Remarks, words: &str) -> u64 {
    remarks.iter().filter(|(kind, _)| kind.contains(words)).map(|(_, count)| count).sum()
}

/// Words, separators, marks and line ends of a text that a dialect can hold.
fn text(quoted: bool) -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec!["bread", "the \"old\" mill", "\"so", "l'été", "5", "a"]);
    let rich = prop::sample::select(vec![
        "bread",
        "one, two",
        "a; b",
        "left | right",
        "\"said\" she",
        "line\nend",
        "above\n\nbelow",
        "x\ty",
        "7",
    ]);
    let words = if quoted { rich.boxed() } else { plain.boxed() };
    prop::collection::vec(words, 1..6).prop_map(|words| words.join(" ") + " end")
}

/// A table: its texts, and how it is written.
fn table() -> impl Strategy<Value = (Vec<String>, u8, QuoteStyle, bool)> {
    let delimiter = prop::sample::select(b",;\t|".to_vec());
    let style = prop::sample::select(vec![
        QuoteStyle::Necessary,
        QuoteStyle::Always,
        QuoteStyle::NonNumeric,
        QuoteStyle::Never,
    ]);
    (delimiter, style, any::<bool>()).prop_flat_map(|(delimiter, style, escaped)| {
        let quoted = !matches!(style, QuoteStyle::Never);
        let texts = prop::collection::vec(text(quoted), 1..12);
        (texts, Just(delimiter), Just(style), Just(escaped))
    })
}

proptest! {
    #[test]
    fn what_a_writer_writes_is_read_back((texts, delimiter, style, escaped) in table()) {
        let mut writer = WriterBuilder::new()
            .delimiter(delimiter)
            .quote_style(style)
            .double_quote(!escaped)
            .from_writer(Vec::new());
        writer.write_record(["id", "author", "text", "lang"]).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let id = (1000 + row).to_string();
            writer.write_record([id.as_str(), "mara", text, "en"]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let (read, reasons, _) = read("posts.csv", &bytes);
        let expected: Vec<String> = texts.iter().map(|text| normalise::normalise(text)).collect();
        prop_assert_eq!(read, expected, "{}", String::from_utf8_lossy(&bytes));
        prop_assert!(reasons.is_empty(), "{:?}", reasons);
    }
}

#[test]
fn marks_in_tables_that_do_not_quote_swallow_nothing() {
    let tsv = "id\tname\ttext\n1\tann\t\"We begin at nine.\n2\tbob\tBring a chair.\n\
        3\tann\t\"Nine\" is early.\n4\tcy\tAgreed.\n";
    let (texts, reasons, remarks) = read("p.tsv", tsv.as_bytes());
    let wanted = ["\"We begin at nine.", "Bring a chair.", "\"Nine\" is early.", "Agreed."];
    assert_eq!(texts, wanted);
    assert!(reasons.is_empty());
    assert_eq!(total(&remarks, "parted by tab, read with quoting: none"), 1);
    // Given, it is obeyed, and not remarked.
    for (quote, texts_there) in [(Quote::None, 4), (Quote::Double, 4)] {
        let table = TableOptions { quote: Some(quote), ..TableOptions::default() };
        let options = ReadOptions { table, ..ReadOptions::default() };
        let (texts, _, remarks) = read_with("p.tsv", tsv.as_bytes(), &options).unwrap();
        assert_eq!(texts.len(), texts_there, "{quote:?}");
        assert_eq!(total(&remarks, "read with quoting"), 0);
    }
}

#[test]
fn rows_that_a_late_mark_swallows_are_read_again() {
    for (delimiter, name) in [(',', "p.csv"), ('\t', "p.tsv")] {
        let row = |id: u32, text: &str| {
            [id.to_string(), "ann".to_string(), "2020-01-02".to_string(), text.to_string()]
                .join(&delimiter.to_string())
                + "\n"
        };
        let mut table = row(0, "text").replace('0', "id").replace("ann", "author");
        let mut rows = 0;
        let mut add = |table: &mut String, text: &str| {
            rows += 1;
            table.push_str(&row(rows, text));
        };
        for _ in 0..3000 {
            add(&mut table, "an ordinary text of some words");
        }
        // Never closed by itself; then closed by the next mark; then one that does quote, over lines.
        add(&mut table, "\"a text that begins with a mark");
        for _ in 0..40 {
            add(&mut table, "a row after it");
        }
        add(&mut table, "\"another one");
        add(&mut table, "between them");
        add(&mut table, "he calls it \"good\"");
        add(&mut table, "\"first line\nsecond line, with a \"\"mark\"\"\"");
        add(&mut table, "\"the last one opens too");
        let (texts, reasons, remarks) = read(name, table.as_bytes());
        assert_eq!(texts.len(), rows as usize, "{name}");
        assert!(reasons.is_empty(), "{reasons:?}");
        assert_eq!(texts[3000], "\"a text that begins with a mark");
        assert_eq!(texts[rows as usize - 3], "he calls it \"good\"");
        assert_eq!(texts[rows as usize - 2], "first line\nsecond line, with a \"mark\"");
        assert_eq!(texts[rows as usize - 1], "\"the last one opens too");
        assert!(total(&remarks, "swallowed") >= 18);
        assert_eq!(total(&remarks, "nothing closes"), 1);
    }
}

#[test]
fn long_quoted_texts_are_no_swallowed_rows() {
    // Lines with as many commas as a row has, but not its forms.
    let poem = "\"Come, sit, rest\nwait, listen, hear\n".repeat(20) + "the end\"";
    let csv = format!("id,author,text\n1,ann,{poem}\n2,bob,\"short, too\"\n");
    let (texts, _, remarks) = read("p.csv", csv.replace("\n\"Come", "\nCome").as_bytes());
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0].lines().count(), 41);
    assert!(remarks.is_empty(), "{remarks:?}");
    // A text in the first column, whose last line has all other columns.
    let csv = "text,id,author\n\"one\ntwo\",1,ann\n\"three\nfour\",2,bob\nfive,3,cy\n";
    assert_eq!(read("p.csv", csv.as_bytes()).0, ["one\ntwo", "three\nfour", "five"]);
}

#[test]
fn rows_of_marks_that_do_not_quote_are_read_as_they_are() {
    let csv = "id,author,text\n".to_string()
        + &"1,ann,\"quoted, and so\"\n".repeat(30)
        + "2,bob,\"Good day\" is what he said\n";
    let (texts, _, remarks) = read("p.csv", csv.as_bytes());
    assert_eq!(texts.last().unwrap(), "\"Good day\" is what he said");
    assert_eq!(total(&remarks, "marks that do not quote"), 1);
}

#[test]
fn tables_without_a_header_are_named_and_read_by_number() {
    let rows = "\"4\",\"2190001\",\"Tue May 05 10:00:01 PDT 2009\",\"mara\",\"the ferry is late, again\"\n\
        \"0\",\"2190002\",\"Tue May 05 10:00:09 PDT 2009\",\"olek\",\"no ferry, no work\"\n";
    let error = read_with("s.csv", rows.as_bytes(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, PostsError::NoHeader { columns: 5, .. }), "{error}");
    assert!(error.to_string().contains("--map text="), "{error}");
    for text in ["5", "#5"] {
        let options = mapped(&[("text", text), ("author", "4"), ("id", "2"), ("created_at", "3")]);
        let (texts, reasons, remarks) = read_with("s.csv", rows.as_bytes(), &options).unwrap();
        assert_eq!(texts, ["the ferry is late, again", "no ferry, no work"]);
        assert!(reasons.is_empty());
        assert_eq!(total(&remarks, "without a header"), 1);
    }
    // Numbers name columns of tables with a header too, and a header may be denied.
    let csv = b"words,who\ngood morning,ann\n";
    assert_eq!(read_with("p.csv", csv, &mapped(&[("text", "1")])).unwrap().0, ["good morning"]);
    let table = TableOptions { no_header: true, ..TableOptions::default() };
    let options = ReadOptions { table, ..mapped(&[("text", "1")]) };
    assert_eq!(read_with("p.csv", csv, &options).unwrap().0, ["words", "good morning"]);
    let (_, _, remarks) = read_with("p.csv", csv, &mapped(&[("text", "1"), ("id", "9")])).unwrap();
    assert_eq!(total(&remarks, "columns of --map"), 1);
}

#[test]
fn separators_line_ends_and_encodings_are_found() {
    let (texts, ..) = read("p.csv", b"sep=;\r\nid;text\r\n1;\"a; b\"\r\n2;c, d\r\n");
    assert_eq!(texts, ["a; b", "c, d"]);
    assert_eq!(read("p.csv", b"sep=|\nid|text\n1|a;b\n").0, ["a;b"]);
    assert_eq!(read("p.csv", b"id,text\r1,one\r2,two\r").0, ["one", "two"]);
    assert_eq!(read("p.csv", b"text\nwords, and more\nothers\n").0, ["words, and more", "others"]);
    assert_eq!(read("p.csv", b"id|text\n1|a, b\n2|c\n").0, ["a, b", "c"]);
    let table = TableOptions { delimiter: Some(b':'), ..TableOptions::default() };
    let options = ReadOptions { table, ..ReadOptions::default() };
    assert_eq!(read_with("p.csv", b"id:text\n1:one\n", &options).unwrap().0, ["one"]);
    let text = "id;text\n1;Der Bäcker öffnet früh.\n2;Schön, sagt er.\n";
    let latin: Vec<u8> =
        text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    let (texts, reasons, remarks) = read("p.csv", &latin);
    assert_eq!(texts, ["Der Bäcker öffnet früh.", "Schön, sagt er."]);
    assert!(reasons.is_empty());
    assert_eq!(total(&remarks, "sources read as windows-1252"), 1);
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read("p.csv", &utf16).0, texts);
    let options = ReadOptions { encoding: Some("latin_1".into()), ..ReadOptions::default() };
    assert_eq!(read_with("p.csv", &latin, &options).unwrap().0, texts);
    let options = ReadOptions { encoding: Some("klingon".into()), ..ReadOptions::default() };
    let error = read_with("p.csv", &latin, &options).unwrap_err();
    assert!(error.to_string().contains("--encoding klingon"), "{error}");
}
