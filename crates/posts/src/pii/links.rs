//! Addresses (URL) that name a person: with a user before the host, or of a profile.
//!
//! Networks and where their addresses name a user stand in a table. A link without a user is left alone.

use super::Account;

/// Networks by host (without `www.` and `m.`), and what stands before the user in the path.
const NETWORKS: &[(&str, &[&str])] = &[
    ("ameblo.jp", &["/"]),
    ("ask.fm", &["/"]),
    ("behance.net", &["/"]),
    ("bitbucket.org", &["/"]),
    ("blog.csdn.net", &["/"]),
    ("blog.naver.com", &["/"]),
    ("bsky.app", &["/profile/"]),
    ("buymeacoffee.com", &["/"]),
    ("cash.app", &["/$"]),
    ("codeberg.org", &["/"]),
    ("discord.com", &["/users/"]),
    ("douban.com", &["/people/"]),
    ("douyin.com", &["/user/"]),
    ("dribbble.com", &["/"]),
    ("facebook.com", &["/profile.php?id=", "/people/", "/"]),
    ("fb.com", &["/"]),
    ("fb.me", &["/"]),
    ("flickr.com", &["/people/", "/photos/"]),
    ("github.com", &["/"]),
    ("gitlab.com", &["/"]),
    ("goodreads.com", &["/user/show/", "/author/show/"]),
    ("habr.com", &["/users/", "/ru/users/", "/en/users/"]),
    ("instagram.com", &["/stories/", "/"]),
    ("jianshu.com", &["/u/"]),
    ("juejin.cn", &["/user/"]),
    ("keybase.io", &["/"]),
    ("ko-fi.com", &["/"]),
    ("kuaishou.com", &["/profile/"]),
    ("last.fm", &["/user/"]),
    ("letterboxd.com", &["/"]),
    ("line.me", &["/ti/p/~", "/ti/p/"]),
    ("linkedin.com", &["/in/", "/pub/"]),
    ("linktr.ee", &["/"]),
    ("myanimelist.net", &["/profile/"]),
    ("news.ycombinator.com", &["/user?id="]),
    ("ngl.link", &["/"]),
    ("note.com", &["/"]),
    ("ok.ru", &["/profile/"]),
    ("old.reddit.com", &["/user/", "/u/"]),
    ("onlyfans.com", &["/"]),
    ("open.spotify.com", &["/user/"]),
    ("pantip.com", &["/profile/"]),
    ("patreon.com", &["/"]),
    ("paypal.me", &["/"]),
    ("pinterest.com", &["/"]),
    ("pixiv.net", &["/users/"]),
    ("plurk.com", &["/"]),
    ("qiita.com", &["/"]),
    ("quora.com", &["/profile/"]),
    ("reddit.com", &["/user/", "/u/"]),
    ("sharechat.com", &["/profile/"]),
    ("snapchat.com", &["/add/"]),
    ("soundcloud.com", &["/"]),
    ("space.bilibili.com", &["/"]),
    ("stackoverflow.com", &["/users/"]),
    ("steamcommunity.com", &["/id/", "/profiles/"]),
    ("story.kakao.com", &["/"]),
    ("strava.com", &["/athletes/"]),
    ("t.me", &["/"]),
    ("telegram.me", &["/"]),
    ("tellonym.me", &["/"]),
    ("threads.com", &["/@"]),
    ("threads.net", &["/@"]),
    ("tiktok.com", &["/@"]),
    ("twitch.tv", &["/"]),
    ("twitter.com", &["/"]),
    ("viber.me", &["/"]),
    ("vk.com", &["/"]),
    ("wa.me", &["/"]),
    ("wattpad.com", &["/user/"]),
    ("weibo.com", &["/u/", "/n/", "/"]),
    ("x.com", &["/"]),
    ("xiaohongshu.com", &["/user/profile/"]),
    ("xing.com", &["/profile/"]),
    ("youtube.com", &["/@", "/user/", "/c/"]),
    ("zenn.dev", &["/"]),
    ("zhihu.com", &["/people/"]),
];

/// Networks whose addresses with more than a user name something else: a program, a song.
const USER_ALONE: [&str; 8] = [
    "bitbucket.org",
    "codeberg.org",
    "fb.me",
    "github.com",
    "gitlab.com",
    "pinterest.com",
    "soundcloud.com",
    "vk.com",
];

/// Domains whose subdomains are users.
const USER_HOSTS: [&str; 10] = [
    ".blogspot.com",
    ".bsky.social",
    ".deviantart.com",
    ".hatenablog.com",
    ".hatenablog.jp",
    ".livejournal.com",
    ".substack.com",
    ".tistory.com",
    ".tumblr.com",
    ".wordpress.com",
];

/// First parts of paths that name no user, on any network.
const PLACES: &[&str] = &[
    "about",
    "accounts",
    "ads",
    "addstickers",
    "api",
    "apps",
    "business",
    "c",
    "channel",
    "collections",
    "compose",
    "developer",
    "developers",
    "directory",
    "docs",
    "download",
    "events",
    "explore",
    "feed",
    "features",
    "gaming",
    "groups",
    "hashtag",
    "help",
    "home",
    "i",
    "intent",
    "jobs",
    "joinchat",
    "legal",
    "library",
    "live",
    "login",
    "marketplace",
    "message",
    "messages",
    "news",
    "notifications",
    "orgs",
    "p",
    "pages",
    "photo",
    "photo.php",
    "photos",
    "pin",
    "playlist",
    "policies",
    "policy",
    "posts",
    "premium",
    "press",
    "pricing",
    "privacy",
    "proxy",
    "public",
    "r",
    "reel",
    "reels",
    "results",
    "search",
    "security",
    "settings",
    "share",
    "share.php",
    "sharer",
    "sharer.php",
    "shorts",
    "signup",
    "socks",
    "sponsors",
    "stories",
    "story.php",
    "stream",
    "support",
    "tag",
    "tags",
    "terms",
    "topics",
    "tos",
    "trending",
    "tv",
    "video",
    "videos",
    "wall",
    "watch",
    "web",
    "www",
];

/// Longest host that is looked at.
const MAX_HOST: usize = 253;

/// The addresses that name a user, whole, in order.
pub(super) fn profiles(text: &str) -> Vec<Account> {
    let mut found: Vec<Account> = Vec::new();
    for (at, sign) in text.match_indices(['/', '.']) {
        if found.last().is_some_and(|last| at < last.range.end) {
            continue;
        }
        let free_from = found.last().map_or(0, |last| last.range.end);
        let account = match sign {
            "." => user_host(text, at),
            _ if text[at..].starts_with("//") => user_before_host(text, at),
            _ => profile(text, at),
        };
        found.extend(account.filter(|account| account.range.start >= free_from));
    }
    found
}

/// `scheme://user:password@host/…`; the slashes stand at `at`.
fn user_before_host(text: &str, at: usize) -> Option<Account> {
    let start = scheme_start(text, at)?;
    let rest = &text[at + 2..];
    let ends = |letter: char| {
        !letter.is_ascii_graphic() || matches!(letter, '/' | '?' | '#' | '"' | '<' | '>' | '\'')
    };
    let authority = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let (user, host) = authority.rsplit_once('@')?;
    let name = user.split(':').next().unwrap_or_default();
    let sound = host.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '[');
    (sound && !user.is_empty() && user != "git")
        .then(|| Account { range: start..link_end(text, at + 2), name: name.to_string() })
}

/// Where the scheme begins before the `//` at `at`.
fn scheme_start(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].strip_suffix(':')?;
    let bytes = before
        .bytes()
        .rev()
        .take(16)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-'))
        .count();
    let scheme = &before[before.len() - bytes..];
    let letters = scheme.trim_start_matches(|sign: char| !sign.is_ascii_alphabetic());
    (letters.len() > 1).then_some(before.len() - letters.len())
}

/// The address of a network whose path begins at `at` and names a user.
fn profile(text: &str, at: usize) -> Option<Account> {
    let host = host_start(text, at)?;
    let path = &text[at..];
    let name = text[host..at].to_ascii_lowercase();
    let user = user_of(&name, path)?;
    Some(Account { range: link_start(text, host)..link_end(text, at), name: user.to_string() })
}

/// Where the host begins that ends at `at`.
fn host_start(text: &str, at: usize) -> Option<usize> {
    let bytes = text[..at]
        .bytes()
        .rev()
        .take(MAX_HOST)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .count();
    let host = text[at - bytes..at].trim_start_matches(['.', '-']);
    let start = at - host.len();
    let sound = host.contains('.') && !host.ends_with('.');
    (sound && !text[..start].ends_with(['@', '_'])).then_some(start)
}

/// Where the link begins whose host begins at `host`.
fn link_start(text: &str, host: usize) -> usize {
    let slashes = text[..host].strip_suffix("//").map(str::len);
    slashes.and_then(|at| scheme_start(text, at)).unwrap_or(host)
}

/// The user that a path names on a host.
fn user_of<'t>(host: &str, path: &'t str) -> Option<&'t str> {
    let host = ["www.", "m.", "mobile.", "web."]
        .iter()
        .find_map(|prefix| host.strip_prefix(prefix))
        .unwrap_or(host);
    let segment = |rest: &'t str| {
        let end = rest.find(|letter: char| !is_user(letter)).unwrap_or(rest.len());
        let user = rest[..end].trim_end_matches(['.', '-', ':']);
        let starts =
            user.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        (starts && user.len() > 1).then_some((user, &rest[end..]))
    };
    // Mastodon and its kin, Medium, and others of any name.
    if let Some(rest) = path.strip_prefix("/@") {
        return segment(rest).map(|(user, _)| user);
    }
    let row = NETWORKS.binary_search_by_key(&host, |&(known, _)| known).ok()?;
    NETWORKS[row].1.iter().find_map(|prefix| {
        let (user, rest) = segment(path.strip_prefix(prefix)?)?;
        let place = *prefix == "/" && PLACES.contains(&user.to_ascii_lowercase().as_str());
        // A sign behind the slash ends the sentence.
        let more = rest.strip_prefix('/').map(|rest| rest.trim_start_matches(['.', ':']));
        let more = more.is_some_and(|rest| rest.starts_with(is_user));
        let other = USER_ALONE.contains(&host) && more;
        // Of a post only the user is named; of a file nothing.
        (!place && !other && !user.ends_with(".html")).then_some(user)
    })
}

/// What the name of a user in a path is made of.
fn is_user(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '%' | ':')
}

/// `name.network`, and the link it stands in; the dot of a domain may stand at `at`.
fn user_host(text: &str, at: usize) -> Option<Account> {
    let suffix = USER_HOSTS.iter().find(|suffix| {
        text.get(at..at + suffix.len()).is_some_and(|found| found.eq_ignore_ascii_case(suffix))
    })?;
    let end = at + suffix.len();
    let host = host_start(text, end)?;
    let after = &text[end..];
    let ends = !after.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '-')
        && !after.strip_prefix('.').is_some_and(|rest| rest.starts_with(is_user));
    let named = !matches!(&text[host..at], "" | "www" | "m" | "api" | "assets" | "static");
    (ends && named).then(|| Account {
        range: link_start(text, host)..if after.starts_with('/') {
            link_end(text, end)
        } else {
            end
        },
        name: text[host..end].to_string(),
    })
}

/// Where a link ends that continues at `at`: signs that end a sentence, and a parenthesis that was opened
/// before the link or that opens behind it, belong to the text.
fn link_end(text: &str, at: usize) -> usize {
    let ends = |letter: char| {
        !letter.is_ascii_graphic()
            || matches!(letter, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    };
    let run = &text[at..][..text[at..].find(ends).unwrap_or(text.len() - at)];
    let mut link = run;
    loop {
        let trimmed =
            link.trim_end_matches(['.', ',', ':', ';', '!', '?', '\'', '*', ']', '(', '[']);
        let opened = trimmed.matches('(').count();
        link = match trimmed.strip_suffix(')') {
            Some(rest) if rest.matches(')').count() >= opened => rest,
            _ => break at + trimmed.len(),
        };
    }
}
