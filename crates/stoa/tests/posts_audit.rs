//! `stoa posts audit` from outside: exit status, the JSON scripts read, the report, files and stores.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn stoa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stoa")).args(arguments).output().unwrap()
}

fn last_line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last();
    line.and_then(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("no JSON: {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// A made-up public: people of two camps on towns and bridges, one of which likes capitals.
fn write_posts(path: &Path) {
    let mut lines = String::new();
    for person in 0..30 {
        for (camp, loud) in [("north", 2), ("south", 7)] {
            for post in 0..12 {
                let shout = if (post + person) % 12 < loud { "BRIDGE" } else { "bridge" };
                let lang = ["en", "fr"][post % 2];
                let _ = writeln!(
                    lines,
                    "{{\"id\":\"{camp}{person}x{post}\",\"author\":\"{camp}{person}\",\
                     \"camp\":\"{camp}\",\"lang\":\"{lang}\",\
                     \"text\":\"Number {post} of {person}: the {camp} {shout} of town {} needs paint.\"}}",
                    post * 31 + person
                );
            }
        }
    }
    // A side that is not compared, and a line that is no post.
    lines.push_str("{\"author\":\"x\",\"camp\":\"west\",\"text\":\"hello\"}\nnot json\n");
    std::fs::write(path, lines).unwrap();
}

#[test]
fn a_leaning_rule_has_its_own_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("posts.jsonl");
    write_posts(&path);
    let path = path.to_str().unwrap();
    let ask = |more: &[&str]| {
        let base = ["posts", "audit", path, "--side", "camp", "--sides", "north,south", "--json"];
        stoa(&[&base[..], more].concat())
    };
    let leaning = ask(&["--rules", "dialogpt", "--resamples", "500"]);
    assert_eq!(leaning.status.code(), Some(3));
    let found = last_line(&leaning);
    assert_eq!((&found["verdict"], &found["exit_status"]), (&"leans".into(), &3.into()));
    assert_eq!(found["left_out"]["other_side"], 1);
    assert_eq!(found["left_out"]["rejected"], 1);
    assert_eq!(found["columns"]["author"], "author");
    let capitals = &found["rules"].as_array().unwrap()[2];
    assert_eq!(capitals["rule"], "dialogpt/capitals");
    let south = &capitals["sides"][1];
    for key in [
        "side",
        "n",
        "authors",
        "dropped",
        "rate",
        "difference",
        "interval",
        "p_adjusted",
        "verdict",
    ] {
        assert!(!south[key].is_null(), "{key}");
    }
    assert_eq!(
        (&south["n"], &south["authors"], &south["dropped"]),
        (&360.into(), &30.into(), &210.into())
    );
    assert!((south["difference"].as_f64().unwrap() - 5.0 / 12.0).abs() < 1e-12);
    assert_eq!(found["all"]["by"][0]["facet"], "language");
    // The same seed says the same on any number of threads.
    let again = ask(&["--rules", "dialogpt", "--resamples", "500", "--threads", "3"]);
    assert_eq!(leaning.stdout, again.stdout);
    // The profile for posts drops none of these, which thirty authors cannot show within two points.
    assert_eq!(ask(&["--resamples", "500", "--margin", "6"]).status.code(), Some(0));
    assert_eq!(ask(&["--resamples", "500", "--margin", "0.1"]).status.code(), Some(4));
}

#[test]
fn a_list_of_rules_and_a_report_in_french() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rules) = (folder.path().join("posts.jsonl"), folder.path().join("rules.txt"));
    let report = folder.path().join("report.html");
    write_posts(&path);
    std::fs::write(&rules, "dialogpt/capitals\nwords: paint\n").unwrap();
    let [path, rules, page] = [&path, &rules, &report].map(|path| path.to_str().unwrap());
    let base =
        ["posts", "audit", path, "--side", "camp", "--sides", "north,south", "--rules", rules];
    let more = ["--report", page, "--report-language", "fr", "--resamples", "300", "--json"];
    let output = stoa(&[&base[..], &more[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("<html lang=\"fr\">") && html.contains("blocklist/words"));
    assert!(!html.contains("needs paint"), "texts are shown on request only");
    stoa(&[&base[..], &more[..], &["--samples", "2"]].concat());
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("needs paint"));
}

#[test]
fn a_store_is_audited_by_its_own_verdicts_and_by_a_profile() {
    let folder = tempfile::tempdir().unwrap();
    let (path, store) = (folder.path().join("posts.jsonl"), folder.path().join("store"));
    write_posts(&path);
    let [path, store] = [&path, &store].map(|path| path.to_str().unwrap());
    let ingest = stoa(&["posts", "ingest", path, "--out", store, "--json", "--rules", "dialogpt"]);
    assert!(ingest.status.success(), "{}", String::from_utf8_lossy(&ingest.stderr));
    let ask = |more: &[&str]| {
        let base = ["posts", "audit", store, "--side", "camp", "--sides", "north,south"];
        stoa(&[&base[..], &["--json", "--resamples", "300"], more].concat())
    };
    let own = ask(&[]);
    assert_eq!(own.status.code(), Some(3), "{}", String::from_utf8_lossy(&own.stderr));
    let own = last_line(&own);
    assert_eq!(own["profile"], "verdicts of the store");
    let of = |found: &Value, name: &str| {
        let rules = found["rules"].as_array().unwrap().clone();
        rules.into_iter().find(|rule| rule["rule"] == name).unwrap_or_default()
    };
    let stored = of(&own, "dialogpt.capitals");
    let judged = of(&last_line(&ask(&["--rules", "dialogpt"])), "dialogpt/capitals");
    assert_eq!(stored["sides"][1]["dropped"], 210);
    assert_eq!(judged["sides"][1]["dropped"], 210);
    assert_eq!(stored["sides"][1]["authors"], 30);
    // A column of the store itself needs no source.
    let by_language = ["posts", "audit", store, "--side", "language", "--sides", "fr,en", "--json"];
    let by_language = stoa(&by_language);
    assert_eq!(last_line(&by_language)["reference"], "fr");
}

#[test]
fn mistakes_are_answered_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("posts.jsonl");
    write_posts(&path);
    let path = path.to_str().unwrap();
    for (arguments, remedy) in [
        (vec!["--side", "part"], "check --side"),
        (vec!["--side", "camp", "--sides", "north,east"], "the sides are north"),
        (vec!["--side", "camp", "--rules", "smell"], "neither a profile"),
        (vec!["--side", "camp", "--where", "lang"], "COLUMN=VALUE"),
        (vec!["--side", "camp", "--margin", "0"], "above 0"),
    ] {
        let output = stoa(&[&["posts", "audit", path][..], &arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(remedy), "{arguments:?}: {said}");
    }
}
