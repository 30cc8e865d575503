//! Personal data in the forms that people write it in. All of it is drawn; check digits are right.

use super::contexts::Script;
use super::digits::{self, check_iban, luhn_digit};
use stoa_random::Draws;

/// A kind of personal data, as the figures name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// E-mail addresses.
    Email,
    /// Phone numbers.
    Phone,
    /// IP addresses, version 4.
    Ipv4,
    /// IP addresses, version 6.
    Ipv6,
    /// Payment cards.
    Card,
    /// Bank accounts.
    Iban,
    /// Names of accounts of networks.
    Handle,
    /// Addresses (URL) with a user in them.
    Link,
    /// Numbers that a state gives its people.
    NationalId,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Email,
        Kind::Phone,
        Kind::Ipv4,
        Kind::Ipv6,
        Kind::Card,
        Kind::Iban,
        Kind::Handle,
        Kind::Link,
        Kind::NationalId,
    ];
}

/// Which sentences something can stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Any.
    Any,
    /// Only where no letter touches it: its own letters are those of the sentence.
    Free,
    /// Only where a phone number is announced.
    Phone,
    /// Only where the address of a machine is announced.
    Machine,
    /// Only where a version, or a part of a text, is named.
    Version,
}

/// Something that stands in a sentence.
pub struct Item {
    /// What stays before what is personal.
    pub before: String,
    /// What is personal.
    pub personal: String,
    /// What stays after it.
    pub after: String,
    /// How the placeholder begins that belongs there.
    pub placeholder: &'static str,
    /// Where it may stand.
    pub place: Place,
}

impl Item {
    /// With no other text around it, and a place anywhere.
    pub fn new(personal: impl Into<String>, placeholder: &'static str) -> Item {
        Item {
            before: String::new(),
            personal: personal.into(),
            after: String::new(),
            placeholder,
            place: Place::Any,
        }
    }

    /// In such a place.
    pub fn at(self, place: Place) -> Item {
        Item { place, ..self }
    }

    /// Between what stays.
    pub fn between(self, before: &str, after: &str) -> Item {
        Item { before: before.to_string(), after: after.to_string(), ..self }
    }
}

/// One item of a kind, as people of a script write it.
pub fn item(kind: Kind, script: Script, draws: &mut Draws) -> Item {
    match kind {
        Kind::Email => email(script, draws),
        Kind::Phone => phone(script, draws),
        Kind::Ipv4 => ipv4(script, draws),
        Kind::Ipv6 => ipv6(draws),
        Kind::Card => card(script, draws),
        Kind::Iban => iban(script, draws),
        Kind::Handle => handle(script, draws),
        Kind::Link => link(draws),
        Kind::NationalId => national_id(draws),
    }
}

const NAMES: [&str; 14] = [
    "mara", "olek", "jane", "yuki", "minjun", "somchai", "layla", "noam", "priya", "ivan", "chen",
    "tomek", "aylin", "bea",
];
const SURNAMES: [&str; 10] =
    ["baker", "kowal", "doe", "tanaka", "park", "haddad", "levi", "sharma", "petrov", "lindqvist"];
const MAIL_DOMAINS: [&str; 10] = [
    "example.org",
    "example.com",
    "mail.example.net",
    "example.co.jp",
    "example.de",
    "uni.example.ac.uk",
    "example.ru",
    "my-bakery.example.fr",
    "example.co.kr",
    "example.com.br",
];

/// Whether digits of a sentence are those of its script, here.
fn own_digits(text: String, script: Script, draws: &mut Draws) -> String {
    match draws.chance(1, 4) {
        true => digits::localised(&text, script, draws),
        false => text,
    }
}

fn email(script: Script, draws: &mut Draws) -> Item {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    let domain = *draws.pick(&MAIL_DOMAINS);
    let number = draws.below(90) + 10;
    let own: &[(&str, &str)] = match script {
        Script::Latin => {
            &[("jörg", "example.de"), ("zoë.müller", "bäckerei.de"), ("søren", "example.dk")]
        }
        Script::Cyrillic => {
            &[("иван", "пример.рф"), ("мария.петрова", "example.ru"), ("олена", "пошта.укр")]
        }
        Script::Arabic => &[("ليلى", "example.com"), ("سامي", "موقع.السعودية")],
        Script::Hebrew => &[("נועם", "example.co.il"), ("דנה", "example.org")],
        Script::Devanagari => &[("प्रिया", "उदाहरण.भारत"), ("रवि", "example.in")],
        _ => &[],
    };
    if !own.is_empty() && draws.chance(1, 7) {
        let (name, domain) = *draws.pick(own);
        return Item::new(format!("{name}@{domain}"), "[email]").at(Place::Free);
    }
    let address = match draws.below(12) {
        10 | 11 => return Item::new(spelled(name, domain, draws), "[email]").at(Place::Free),
        0 => format!("{name}.{surname}@{domain}"),
        1 => format!("{name}{number}@{domain}"),
        2 => format!("{name}_{surname}+posts@{domain}"),
        3 => format!("{}.O'{}@{domain}", name.to_uppercase(), surname.to_uppercase()),
        4 => format!("o'{surname}@{domain}"),
        5 => format!("\"{name} {surname}\"@{domain}"),
        6 => format!("{number}{name}-{surname}@{domain}"),
        7 => digits::full_width(&format!("{name}{number}@{domain}")),
        8 => return Item::new(format!("{name}@{domain}"), "[email]").between("<", ">"),
        _ => format!("{name}@{domain}"),
    };
    Item::new(address, "[email]")
}

/// An address whose signs are words.
fn spelled(name: &str, domain: &str, draws: &mut Draws) -> String {
    match draws.below(5) {
        0 => format!("{name} [at] {}", domain.replace('.', " [dot] ")),
        1 => format!("{name}(at){domain}"),
        2 => format!("{name}[at]{}", domain.replace('.', "[dot]")),
        3 => format!("{name} (at) {}", domain.replace('.', " (dot) ")),
        _ => format!("{name} AT {domain}").replace('.', " DOT ").to_uppercase(),
    }
}

/// National and international forms, `#` for a digit and `%` for one of 2 to 9.
fn phone(script: Script, draws: &mut Draws) -> Item {
    const INTERNATIONAL: [&str; 12] = [
        "+1 %0# %## ####",
        "+1-%0#-%##-####",
        "+33 6 ## ## ## ##",
        "+49 30 9#####",
        "+49 (0)30 9#####",
        "+44 20 7### ####",
        "+81 90-####-####",
        "+82-10-####-####",
        "+86 138 #### ####",
        "+66 81 ### ####",
        "+380 50 ### ## ##",
        "+3361234####",
    ];
    let own: (&[&str], &[&str]) = match script {
        Script::Latin => (
            &["%0%-%##-####", "(%0%) %##-####", "06 ## ## ## ##", "020 7### ####", "030/90####"],
            &["%0%%######", "06########", "0151########"],
        ),
        Script::Cyrillic => (
            &[
                "8 (916) ###-##-##",
                "8-903-###-##-##",
                "+7 (495) ###-##-##",
                "+7 921 ### ## ##",
                "050 ### ## ##",
            ],
            &["8916#######", "89#########"],
        ),
        Script::Arabic => (
            &[
                "+966 50 ### ####",
                "+20 100 ### ####",
                "050 ### ####",
                "0100 ### ####",
                "+98 912 ### ####",
                "0912 ### ####",
            ],
            &["0501######", "0912#######"],
        ),
        Script::Hebrew => (
            &["054-###-####", "03-6######", "+972-54-###-####", "+972 3 6## ####", "(02) 6##-####"],
            &["054#######", "03#######"],
        ),
        Script::Devanagari => (
            &["+91 98### #####", "98### #####", "+91-98########", "098### #####", "022-2### ####"],
            &["98########", "098########"],
        ),
        Script::Thai => (
            &["081-###-####", "02-###-####", "08 1### ####", "+66 81 ### ####", "(02) ###-####"],
            &["081#######", "09########"],
        ),
        Script::Han => (
            &[
                "138-####-####",
                "139 #### ####",
                "010-6### ####",
                "(010) 6###-####",
                "+86 137 #### ####",
                "0912-###-###",
            ],
            &["138########", "159########"],
        ),
        Script::Kana => (
            &[
                "03-####-####",
                "090-####-####",
                "(03) ####-####",
                "03(####)####",
                "0120-###-###",
                "+81 80-####-####",
            ],
            &["090########", "03########"],
        ),
        Script::Hangul => (
            &[
                "010-####-####",
                "02-###-####",
                "02) ###-####",
                "+82 10-####-####",
                "010.####.####",
                "031-###-####",
            ],
            &["010########", "011#######"],
        ),
    };
    let (template, place) = match draws.below(10) {
        0..2 => (*draws.pick(&INTERNATIONAL), Place::Any),
        2..4 => (*draws.pick(own.1), Place::Phone),
        4..6 => (*draws.pick(own.0), Place::Phone),
        _ => (*draws.pick(own.0), Place::Any),
    };
    let number = digits::filled(template, draws);
    Item::new(own_digits(number, script, draws), "[phone]").at(place)
}

fn ipv4(script: Script, draws: &mut Draws) -> Item {
    let first =
        *draws.pick(&[5, 23, 31, 45, 62, 77, 81, 91, 103, 133, 151, 178, 185, 193, 203, 212]);
    let mut octet = || draws.below(256);
    let address = format!("{first}.{}.{}.{}", octet(), octet(), 1 + octet() % 254);
    // What could be a version by its size says what it is.
    let small = address.split('.').all(|octet| octet.len() < 3);
    let place = if small || draws.chance(1, 3) { Place::Machine } else { Place::Any };
    match draws.below(8) {
        0 => Item::new(format!("{address}:{}", 1024 + draws.below(60000)), "[ip]").at(place),
        1 => Item::new(address, "[ip]").between("http://", "/").at(place),
        2 => Item::new(digits::full_width(&address), "[ip]").at(Place::Machine),
        3 => Item::new(digits::localised(&address, script, draws), "[ip]").at(Place::Machine),
        4 => Item::new("8.8.4.4", "[ip]").at(Place::Machine),
        _ => Item::new(address, "[ip]").at(place),
    }
}

fn ipv6(draws: &mut Draws) -> Item {
    let prefix =
        *draws.pick(&["2a02:810d", "2607:f8b0", "2400:cb00", "240e:3b0", "2001:4860", "2a01:e0a"]);
    let mut group = || format!("{:x}", draws.below(0xffff) + 1);
    let groups: Vec<String> = (0..6).map(|_| group()).collect();
    let full = format!("{prefix}:{}", groups.join(":"));
    match draws.below(6) {
        0 => Item::new(full.to_uppercase(), "[ip]"),
        1 => Item::new(format!("{prefix}::{}", groups[0]), "[ip]"),
        2 => Item::new(format!("{prefix}:{}:{}::{}", groups[0], groups[1], groups[2]), "[ip]"),
        3 => Item::new(format!("{prefix}:{}::1", groups[0]), "[ip]").between("[", "]:443"),
        _ => Item::new(full, "[ip]"),
    }
}

fn card(script: Script, draws: &mut Draws) -> Item {
    let (prefix, length) = *draws.pick(&[
        ("4", 16),
        ("51", 16),
        ("55", 16),
        ("2221", 16),
        ("37", 15),
        ("6011", 16),
        ("3530", 16),
        ("4", 16),
    ]);
    let mut number = prefix.to_string();
    while number.len() < length - 1 {
        number.push_str(&draws.below(10).to_string());
    }
    number.push(luhn_digit(&number));
    let groups: &[usize] = if length == 15 { &[4, 6, 5] } else { &[4, 4, 4, 4] };
    let grouped = match draws.below(4) {
        0 => number,
        1 => digits::grouped(&number, groups, "-"),
        _ => digits::grouped(&number, groups, " "),
    };
    Item::new(own_digits(grouped, script, draws), "[card]")
}

fn iban(script: Script, draws: &mut Draws) -> Item {
    let (country, bank, length) = *draws.pick(&[
        ("DE", "", 22),
        ("FR", "", 27),
        ("GB", "WEST", 22),
        ("NL", "INGB", 18),
        ("SA", "", 24),
        ("IL", "", 23),
        ("PL", "", 28),
        ("UA", "", 29),
        ("CH", "", 21),
        ("TR", "", 26),
    ]);
    let mut account = bank.to_string();
    while account.len() < length - 4 {
        account.push_str(&draws.below(10).to_string());
    }
    let whole = format!("{country}{}{account}", check_iban(country, &account));
    let fours = [4; 9];
    let written = match draws.below(4) {
        0 => whole,
        1 => digits::grouped(&whole, &fours, "\u{a0}"),
        _ => digits::grouped(&whole, &fours, " "),
    };
    let cjk = matches!(script, Script::Han | Script::Kana | Script::Hangul);
    let wide = cjk && draws.chance(1, 6);
    Item::new(if wide { digits::full_width(&written) } else { written }, "[iban]")
}

fn account_name(draws: &mut Draws) -> String {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    match draws.below(4) {
        0 => format!("{name}_{surname}"),
        1 => format!("{name}{}", 10 + draws.below(90)),
        2 => format!("{}{surname}", name.to_uppercase()),
        _ => format!("{surname}{name}"),
    }
}

const SERVERS: [&str; 6] = [
    "mastodon.social",
    "social.example.org",
    "fosstodon.org",
    "mstdn.jp",
    "my-server.example",
    "pixel.example.net",
];

/// Names in Han that Weibo links.
const HAN_NAMES: [&str; 6] =
    ["面包店老板", "海边的猫", "李小红2023", "王大明_北京", "春天里", "陈-阿福"];

fn handle(script: Script, draws: &mut Draws) -> Item {
    if script == Script::Han && draws.chance(1, 5) {
        let name = *draws.pick(&HAN_NAMES);
        let item = Item::new(format!("@{name}"), "@user").at(Place::Free);
        return match draws.below(3) {
            0 => item.between("//", "："),
            1 => item.between("回复", ": "),
            _ => item,
        };
    }
    let name = account_name(draws);
    let plain = name.replace('_', "-").to_lowercase();
    match draws.below(11) {
        0 | 1 => Item::new(format!("@{name}@{}", draws.pick(&SERVERS)), "@user"),
        2 => Item::new(format!("@{plain}.bsky.social"), "@user"),
        3 => Item::new(format!("@{plain}.bakers.example"), "@user"),
        4 => Item::new(format!("@{plain}.example.net"), "@user"),
        5 => Item::new(format!("u/{name}"), "@user"),
        6 => Item::new(format!("/u/{name}"), "@user"),
        7 => Item::new(format!("＠{name}"), "@user"),
        8 => Item::new(format!("@{}.{}", draws.pick(&NAMES), draws.pick(&SURNAMES)), "@user"),
        _ => Item::new(format!("@{name}"), "@user"),
    }
}

fn link(draws: &mut Draws) -> Item {
    let name = account_name(draws);
    let number = 1_000_000 + draws.below(8_000_000);
    let whole = match draws.below(20) {
        0 => format!("https://{name}:s3cret{number}@files.example.org/private"),
        1 => format!("ftp://{name}@ftp.example.org/pub"),
        2 => format!("postgres://{name}:{number}@db.example.net:5432/posts"),
        3 => {
            let mail = Item::new(format!("{name}@example.org"), "[email]");
            return mail.between("mailto:", "");
        }
        4 => format!("https://t.me/{name}"),
        5 => format!("t.me/{name}"),
        6 => format!("https://x.com/{name}"),
        7 => format!("https://twitter.com/{name}/status/87752785042{number}"),
        8 => format!("https://www.instagram.com/{name}/"),
        9 => format!("https://bsky.app/profile/{}.bsky.social", name.replace('_', "-")),
        10 => format!("https://{}/@{name}", draws.pick(&SERVERS)),
        11 => format!("https://www.reddit.com/user/{name}"),
        12 => format!("https://vk.com/{name}"),
        13 => format!("https://www.linkedin.com/in/{name}/"),
        14 => format!("https://wa.me/4915{number}2"),
        15 => format!("https://www.facebook.com/{name}"),
        16 => format!("https://www.youtube.com/@{name}"),
        17 => format!("https://www.tiktok.com/@{name}/video/71{number}"),
        18 => format!("https://github.com/{name}"),
        _ => format!("instagram.com/{name}"),
    };
    Item::new(whole, "[link]")
}

fn national_id(draws: &mut Draws) -> Item {
    let area = 1 + draws.below(665);
    let (group, serial) = (1 + draws.below(99), 1 + draws.below(9999));
    Item::new(format!("{area:03}-{group:02}-{serial:04}"), "[id]")
}
