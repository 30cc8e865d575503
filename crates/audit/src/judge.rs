//! The rules an audit asks: a known profile, or a list of rules and words from a file.

use stoa_posts::rules::{
    Blocklist, CorpusRule, Judgement, PROFILES, Rule, RulePost, TemplateSpam, bare_text, profile,
};

use super::error::AuditError;

/// Rules with the text each of them expects.
pub struct Judge {
    rules: Vec<(Box<dyn Rule>, Wants)>,
    spam: Option<TemplateSpam>,
}

/// What of a post a rule is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// The post as it is.
    Whole,
    /// What the person wrote: without links and the handles a reply starts with. Filters of web pages
    /// never met those, and would drop replies for being replies.
    Bare,
}

impl Judge {
    /// The rules of a profile: `gopher`, `c4`, `dialogpt`, `posts`. Nothing for another name.
    pub fn of_profile(name: &str) -> Option<Judge> {
        let wants = if name == "posts" { Wants::Whole } else { Wants::Bare };
        let rules = profile(name)?.into_iter().map(|rule| (rule, wants)).collect();
        Some(Judge { rules, spam: (name == "posts").then(TemplateSpam::new) })
    }

    /// The rules that a list names, one a line: `profile/rule`, a whole profile, or `words: a, b, …`
    /// for a list of words that drop a post. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`AuditError::NoSuchRule`], [`AuditError::NoRules`].
    pub fn of_list(list: &str) -> Result<Judge, AuditError> {
        let mut judge = Judge { rules: Vec::new(), spam: None };
        for (at, line) in list.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(words) = line.strip_prefix("words:") {
                let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
                judge.rules.push((Box::new(Blocklist::new(words)), Wants::Bare));
                continue;
            }
            let missing = || AuditError::NoSuchRule {
                name: line.to_owned(),
                line: at + 1,
                known: PROFILES.join(", "),
            };
            let of = line.split('/').next().unwrap_or(line);
            let whole = Judge::of_profile(of).ok_or_else(missing)?;
            let before = judge.names().len();
            judge.rules.extend(
                whole.rules.into_iter().filter(|(rule, _)| line == of || rule.name() == line),
            );
            let spam = whole.spam.filter(|spam| line == of || spam.name() == line);
            judge.spam = judge.spam.or(spam);
            if judge.names().len() == before {
                return Err(missing());
            }
        }
        match judge.names().is_empty() {
            true => Err(AuditError::NoRules),
            false => Ok(judge),
        }
    }

    /// Names of the rules, in the order of verdicts.
    pub fn names(&self) -> Vec<String> {
        let names = self.rules.iter().map(|(rule, _)| rule.name().to_owned());
        names.chain(self.spam.iter().map(|spam| spam.name().to_owned())).collect()
    }

    /// Whether every post must be observed before any is judged.
    pub fn needs_observing(&self) -> bool {
        self.spam.is_some()
    }

    /// Takes a post into account; all posts come by before the first is judged.
    pub fn observe(&mut self, post: &RulePost<'_>) {
        if let Some(spam) = &mut self.spam {
            spam.observe(post);
        }
    }

    /// Whether each rule drops the post.
    pub fn drops(&self, post: &RulePost<'_>) -> Vec<bool> {
        let bare = bare_text(post.text);
        let bare = RulePost { text: &bare, ..*post };
        let verdict = |(rule, wants): &(Box<dyn Rule>, Wants)| match wants {
            Wants::Whole => rule.judge(post),
            Wants::Bare => rule.judge(&bare),
        };
        let spam = self.spam.as_ref().map(|spam| spam.judge(post));
        let verdicts = self.rules.iter().map(verdict).chain(spam);
        verdicts.map(|judgement| judgement != Judgement::Keep).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_rules_see_what_was_written_and_ours_the_whole_post() {
        let post = RulePost::of_text("@ann @bob https://example.org/LOUDLY");
        let of = |name: &str| {
            let judge = Judge::of_profile(name).unwrap();
            let drops = judge.drops(&post);
            judge.names().into_iter().zip(drops).filter(|(_, d)| *d).map(|(n, _)| n).collect()
        };
        let dropped: Vec<String> = of("dialogpt");
        assert!(!dropped.contains(&"dialogpt/url".to_owned()), "{dropped:?}");
        assert!(!dropped.contains(&"dialogpt/capitals".to_owned()), "{dropped:?}");
        let dropped: Vec<String> = of("posts");
        assert_eq!(dropped, ["posts/no-words"]);
    }

    #[test]
    fn lists_name_rules_profiles_and_words() {
        let judge = Judge::of_list(
            "# ours\nposts/template-spam\n\ngopher/word-count\ndialogpt\nwords: crook, fat cat\n",
        )
        .unwrap();
        let names = judge.names();
        assert_eq!(names[0], "gopher/word-count");
        assert_eq!(names.last().map(String::as_str), Some("posts/template-spam"));
        assert!(names.iter().filter(|name| name.starts_with("dialogpt/")).count() >= 4);
        let drops = judge.drops(&RulePost::of_text("That Fat Cat again"));
        let place = names.iter().position(|name| name == "blocklist/words").unwrap();
        assert!(drops[place]);
        let error = Judge::of_list("gopher/word-count\ngopher/smell").err().unwrap().to_string();
        assert!(error.contains("line 2") && error.contains("gopher/smell"), "{error}");
        assert_eq!(Judge::of_list("# nothing\n").err(), Some(AuditError::NoRules));
    }

    #[test]
    fn spam_is_judged_after_all_posts_were_observed() {
        let mut judge = Judge::of_profile("posts").unwrap();
        let texts =
            ["Buy 1 now https://e.org/1", "Buy 22 now https://e.org/2", "Buy 3 now http://e.org/3"];
        let posts = texts.map(|text| RulePost { author: "shop", ..RulePost::of_text(text) });
        assert!(judge.needs_observing());
        posts.iter().for_each(|post| judge.observe(post));
        assert!(posts.iter().all(|post| judge.drops(post).last() == Some(&true)));
    }
}
