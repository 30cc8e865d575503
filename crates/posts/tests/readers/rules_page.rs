//! The example of docs/posts-rules.md, word for word.

use stoa_posts::{identify::identify, normalise::normalise, pii, rules, twitter_text};

#[test]
fn the_example_holds() {
    let page = include_str!("../../../../docs/posts-rules.md");
    let example = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let here = include_str!("rules_page.rs");
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for line in example.expect("an example").lines().filter(|line| !line.trim().is_empty()) {
        assert!(
            squeezed(here).contains(&squeezed(line)),
            "the page says `{line}`, this test does not"
        );
    }
    let text = normalise("cafÃ© &amp;amp; th&eacute; avec @ann demain soir ? https://t.co/x");
    assert_eq!(text, "café & thé avec @ann demain soir ? https://t.co/x");
    assert_eq!(identify("merci beaucoup pour cette belle soirée").language, "fr");
    assert_eq!(twitter_text::entities(&text).len(), 2);
    assert_eq!(pii::replace("call 202-555-0123"), "call [phone]");
    let rules = rules::profile("posts").expect("one of four");
    assert_eq!(rules::first_drop(&rules, &rules::RulePost::of_text(&text)), None);
}
