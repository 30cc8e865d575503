//! Text that is written for programs, not by people for people: markup, settings, source code. It is
//! refused by name instead of being read as paragraphs, unless `--format text` asks for that.
//!
//! The name of a file decides where it is plain; otherwise the lines of its beginning do, by shares that prose
//! does not reach. Binary formats are recognised by `file_signature`.

use super::file_signature::FileSignature;

const REMEDY: &str = "give a file of posts, or --format text to read it as plain text";

const fn refused(kind: &'static str) -> FileSignature {
    FileSignature { kind, remedy: REMEDY }
}

const HTML: FileSignature = refused("an HTML page");
const XML: FileSignature = refused("an XML document");
const YAML: FileSignature = refused("a YAML document");
const SETTINGS: FileSignature = refused("a file of settings (INI, TOML)");
const JAVASCRIPT: FileSignature = refused("JavaScript, and not that of an X archive");
const SOURCE: FileSignature = refused("source code");
const SQL: FileSignature = refused("SQL");
const STYLES: FileSignature = refused("a style sheet (CSS)");
const LATEX: FileSignature = refused("a LaTeX document");
const RTF: FileSignature = refused("a document in RTF");
const PATCH: FileSignature = refused("a patch");
const SUBTITLES: FileSignature = refused("a file of subtitles");
const POINTER: FileSignature = FileSignature {
    kind: "a pointer of Git LFS in the place of a file",
    remedy: "fetch the file itself, by git lfs pull",
};

/// Endings of names that leave no doubt.
const ENDINGS: &[(&[&str], FileSignature)] = &[
    (&["html", "htm", "xhtml", "mhtml"], HTML),
    (&["xml", "rss", "atom", "svg", "xsd", "xsl", "plist"], XML),
    (&["yaml", "yml"], YAML),
    (&["toml", "ini", "cfg", "conf", "properties"], SETTINGS),
    (&["js", "mjs", "cjs", "jsx", "ts", "tsx"], JAVASCRIPT),
    (
        &[
            "py", "rs", "c", "h", "cc", "cpp", "hpp", "java", "kt", "go", "rb", "php", "sh",
            "bash", "pl", "lua", "jl", "swift", "cs", "scala", "hs", "ps1", "bat", "m", "r",
        ],
        SOURCE,
    ),
    (&["sql"], SQL),
    (&["css", "scss", "less"], STYLES),
    (&["tex", "bib"], LATEX),
    (&["rtf"], RTF),
    (&["diff", "patch"], PATCH),
    (&["vtt", "srt"], SUBTITLES),
];

/// How files begin, in lower case.
const BEGINNINGS: &[(&str, FileSignature)] = &[
    ("<!doctype html", HTML),
    ("<html", HTML),
    ("<head", HTML),
    ("<body", HTML),
    ("<?xml", XML),
    ("<!doctype", XML),
    ("<rss", XML),
    ("<feed", XML),
    ("<svg", XML),
    ("<?php", SOURCE),
    ("#!/", SOURCE),
    ("%yaml", YAML),
    ("{\\rtf", RTF),
    ("\\documentclass", LATEX),
    ("diff --git ", PATCH),
    ("webvtt", SUBTITLES),
    ("version https://git-lfs", POINTER),
    ("create table ", SQL),
    ("insert into ", SQL),
    ("grailbird.", JAVASCRIPT),
    ("window.", JAVASCRIPT),
];

/// Fewest lines by which a file is judged, and the shares of them that prose does not reach.
const FEWEST_LINES: usize = 3;
const CODE_SHARE: f64 = 0.6;
const SETTINGS_SHARE: f64 = 0.9;

/// Markup whose first letters are enough, whatever the name says: a page of an error in the place of a
/// download.
pub(super) fn markup(head: &[u8]) -> Option<FileSignature> {
    beginning(head).filter(|found| [HTML, XML, RTF, POINTER].contains(found))
}

/// What a text is that was written for programs.
pub(super) fn of(head: &[u8], extension: &str) -> Option<FileSignature> {
    let named = ENDINGS.iter().find(|(endings, _)| endings.contains(&extension));
    named.map(|(_, kind)| *kind).or_else(|| beginning(head)).or_else(|| by_lines(head))
}

fn beginning(head: &[u8]) -> Option<FileSignature> {
    let solid = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |start: &str| {
        solid.get(..start.len()).is_some_and(|first| first.eq_ignore_ascii_case(start.as_bytes()))
    };
    BEGINNINGS.iter().find(|(start, _)| begins(start)).map(|(_, kind)| *kind)
}

fn by_lines(head: &[u8]) -> Option<FileSignature> {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let share = |is: &dyn Fn(&str) -> bool| {
        lines.iter().filter(|line| is(line)).count() as f64 / lines.len() as f64
    };
    let any = |is: &dyn Fn(&str) -> bool| lines.iter().any(|line| is(line));
    let tagged = |line: &str| {
        let line = line.trim_start();
        line.starts_with("</") || (line.starts_with('<') && line.trim_end().ends_with('>'))
    };
    if share(&tagged) >= CODE_SHARE && any(&|line| line.contains("</")) {
        return Some(XML);
    }
    if share(&is_code) >= CODE_SHARE && any(&is_statement) {
        let script = |line: &str| {
            ["var ", "let ", "const ", "function ", "export "]
                .iter()
                .any(|word| line.starts_with(word))
        };
        return Some(if any(&script) { JAVASCRIPT } else { SOURCE });
    }
    // A list of what people say (`Ann: hello`) has no key without a value and nothing below a key.
    let nested = |line: &str| is_yaml(line) && line.starts_with([' ', '-']);
    let opened = |line: &str| is_yaml(line) && line.trim_end().ends_with(':');
    let marked = lines[0].trim_end() == "---" && lines.len() > FEWEST_LINES;
    if share(&|line| line.trim_end() == "---" || is_yaml(line)) >= SETTINGS_SHARE
        && ((any(&nested) && any(&opened)) || marked)
    {
        return Some(YAML);
    }
    let section = |line: &str| line.starts_with('[') && line.trim_end().ends_with(']');
    let set = |line: &str| section(line) || line.starts_with(['#', ';']) || is_setting(line);
    (share(&set) >= SETTINGS_SHARE && any(&section) && any(&is_setting)).then_some(SETTINGS)
}

/// A line as source code has them: it ends like a statement or a block, or begins with one.
fn is_code(line: &str) -> bool {
    let solid = line.trim();
    let ends = solid.ends_with([';', '{', '}']) || solid.ends_with("):") || solid.ends_with("},");
    let closes = solid.chars().all(|letter| "{}()[];,".contains(letter));
    let indented = line.starts_with(['\t']) || line.starts_with("    ");
    let symbols = solid.contains(['=', '(', '[', '{']) || solid.starts_with("return");
    let comment = ["//", "/*", "*/", "#include", "# "].iter().any(|start| solid.starts_with(start));
    ends || closes || comment || (indented && symbols) || is_statement(line)
}

/// A line that begins like a statement and holds the signs of one.
fn is_statement(line: &str) -> bool {
    const WORDS: [&str; 26] = [
        "def ",
        "class ",
        "import ",
        "from ",
        "fn ",
        "pub ",
        "use ",
        "func ",
        "package ",
        "public ",
        "private ",
        "static ",
        "const ",
        "let ",
        "var ",
        "function ",
        "return ",
        "struct ",
        "enum ",
        "impl ",
        "namespace ",
        "using ",
        "#include",
        "#define",
        "export ",
        "async ",
    ];
    let solid = line.trim();
    let word = WORDS.iter().find(|word| solid.starts_with(**word));
    word.is_some_and(|word| {
        solid.ends_with([';', '{', ':', ')', '>', '"'])
            || solid.contains([';', '=', '{'])
            || (*word == "from " && solid.contains(" import "))
            || (*word == "import " && !solid.trim_start_matches("import ").contains(' '))
    })
}

/// A key with or without its value, an element of a list, or a comment.
fn is_yaml(line: &str) -> bool {
    let solid = line.trim();
    let element = solid.strip_prefix("- ").unwrap_or(solid);
    let key = element.split_once(':').is_some_and(|(key, value)| {
        !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./\"'$".contains(&byte))
            && (value.is_empty() || value.starts_with(' '))
    });
    key || solid.starts_with('#') || (solid.starts_with("- ") && line.starts_with([' ', '-']))
}

/// `key = value`.
fn is_setting(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim();
        !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_programs_is_named() {
        for (text, expected) in [
            ("<!DOCTYPE html>\n<title>x</title>", HTML),
            ("\n  <html lang=\"en\"><body>hello</body></html>", HTML),
            ("<?xml version=\"1.0\"?><posts/>", XML),
            ("<posts>\n <post>a</post>\n <post>b</post>\n</posts>\n", XML),
            ("---\ntitle: a\nposts:\n  - text: one\n  - text: two\n", YAML),
            ("posts:\n  - id: 1\n    text: one\n  - id: 2\n    text: two\n", YAML),
            ("import os\n\ndef main(path):\n    return open(path)\n\nmain(\"x\")\n", SOURCE),
            ("use std::io;\n\nfn main() {\n    println!(\"hi\");\n}\n", SOURCE),
            ("#!/bin/sh\necho hi\n", SOURCE),
            ("var index = [\n  {\n  },\n];\nfunction f() {\n}\n", JAVASCRIPT),
            ("#include <stdio.h>\nint main(void) {\n  return 0;\n}\n", SOURCE),
            ("[main]\nname = a\nsize = 3\n", SETTINGS),
            ("INSERT INTO posts VALUES (1, 'a');\n", SQL),
            ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", POINTER),
        ] {
            assert_eq!(of(text.as_bytes(), "txt"), Some(expected), "{text}");
        }
        assert_eq!(of(b"anything", "py"), Some(SOURCE));
        assert_eq!(markup(b" <!doctype HTML>"), Some(HTML));
        assert_eq!(markup(b"#!/bin/sh"), None);
    }

    #[test]
    fn what_people_write_is_text() {
        for text in [
            "I <3 this town.\n\nThe bakery opens at seven.\n\nSee you there;\n",
            "<ann> hello\n<bea> hi ann\n<ann> what a day\n<bea> indeed\n",
            "Ann: hello\nBea: hi\nAnn: what a day\nBea: indeed\n",
            "Ann: hello, here is my list:\n- bread\n- milk\nThat is all.\n",
            "- one post\n- another post\n- and the last one\n",
            "# A heading\n\nSome words.\n\n# Another one\n\nMore words of the kind.\n",
            "from the harbour we saw the island\nclass was cancelled today\nlet us go then\n",
            "import taxes are too high\nreturn my umbrella, please\npublic transport was late\n",
            "One line.\nAnother (with brackets).\nA third: with a colon.\n",
            "Roses are red;\nviolets are blue,\nsugar is sweet,\nand so are you.\n",
            "[photo]\n[photo] the lake\n[photo] a = b, they say\n",
        ] {
            assert_eq!(of(text.as_bytes(), "txt"), None, "{text}");
            assert_eq!(of(text.as_bytes(), ""), None, "{text}");
        }
    }
}
