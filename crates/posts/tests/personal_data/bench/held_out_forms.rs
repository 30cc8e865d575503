//! Personal data and look-alikes in other forms than those of `formats`, `look_alikes` and `asked_forms`, for
//! held-out sentences alone: written without the rules, asked once with these sentences.

use super::contexts::Script;
use super::digits::{self, check_iban, luhn_digit};
use super::formats::{Item, Kind, Place};
use stoa_random::Draws;

/// One item of a kind, in another form than those asked before.
pub fn item(kind: Kind, script: Script, draws: &mut Draws) -> Item {
    match kind {
        Kind::Email => email(script, draws),
        Kind::Phone => phone(script, draws),
        Kind::Ipv4 => ipv4(script, draws),
        Kind::Ipv6 => ipv6(draws),
        Kind::Card => card(script, draws),
        Kind::Iban => iban(script, draws),
        Kind::Handle => handle(script, draws),
        Kind::Link => link(script, draws),
        Kind::NationalId => national_id(script, draws),
    }
}

const NAMES: [&str; 12] = [
    "ines", "bohdan", "kofi", "sakura", "jiwoo", "anong", "yasmin", "eitan", "kavya", "dmitri",
    "lin", "siobhan",
];
const SURNAMES: [&str; 10] =
    ["moreau", "silva", "mensah", "ito", "kang", "farouk", "shapiro", "iyer", "orlov", "murphy"];
const DOMAINS: [&str; 9] = [
    "example.net.nz",
    "example.agency",
    "alumni.example.edu.tr",
    "example.uk",
    "example.com.tw",
    "k12.example.us",
    "example.ne.jp",
    "e-mail.example.cz",
    "example.app",
];

fn email(script: Script, draws: &mut Draws) -> Item {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    let domain = *draws.pick(&DOMAINS);
    let number = draws.below(9000) + 1000;
    // What people call the sign, and addresses whose letters are all of the script.
    let (words, own): (&[&str], &str) = match script {
        Script::Latin => {
            (&["(arobase)", "[małpa]", "(chiocciola)", "(zavináč)"], "ana.ćosić@primjer.example")
        }
        Script::Cyrillic => (&["(равлик)", "[собачка]", "(эт)"], "николай@пример.бг"),
        Script::Arabic => (&["(آت)", "[ات]", "(at)"], "سارة@مثال.مصر"),
        Script::Hebrew => (&["(שטרודל)", "[שטרודל]", "(at)"], "נועה@דוגמה.ישראל"),
        Script::Devanagari => (&["(ऐट)", "[एट]", "(at)"], "मीरा@नमूना.भारत"),
        Script::Thai => (&["(แอท)", "[at]", " (at) "], "มะลิ@ตัวอย่าง.ไทย"),
        Script::Han => (&["(艾特)", "（at）", "[at]"], "王芳@例子.中国"),
        Script::Kana => (&["(アット)", "【at】", "[アットマーク]"], "さくら@れい.みんな"),
        Script::Hangul => (&["(골뱅이)", "[앳]", "(at)"], "지우@보기.한국"),
    };
    let plain = format!("{name}.{surname}@{domain}");
    let address = match draws.below(14) {
        0 => format!("{name}.{surname}.{number}@Example.ORG"),
        1 => format!("10{number}{}@example.cn", 1000 + draws.below(9000)),
        2 => format!("{}{}@{domain}", name[..1].to_uppercase(), surname),
        3 => format!("{name}&{surname}@{domain}"),
        4 => format!("{name}--{surname}__{number}@{domain}"),
        5 => return Item::new(plain, "[email]").between("mailto:", "?subject=Rope"),
        6 => return Item::new(plain, "[email]").between("📧", ""),
        7 => return Item::new(plain, "[email]").between("E-mail:", ""),
        8 => return Item::new(plain, "[email]").between("[", "]"),
        9 => return Item::new(plain, "[email]").between(&format!("{name} <"), ">"),
        10 => format!("{name}.{surname}＠{domain}"),
        11 => return Item::new(own, "[email]").at(Place::Free),
        _ => {
            let text = format!("{name}{number}{}{domain}", draws.pick(words));
            return Item::new(text, "[email]").at(Place::Free);
        }
    };
    Item::new(address, "[email]")
}

/// `#` for a digit and `%` for one of 2 to 9.
fn phone(script: Script, draws: &mut Draws) -> Item {
    const INTERNATIONAL: [&str; 22] = [
        "+27 82 %## ####",
        "+254 7## ### ###",
        "+63 917 %## ####",
        "+60 12-%## ####",
        "+65 9%## ####",
        "+64 21 %## ####",
        "+40 7## ### ###",
        "+36 20 %## ####",
        "+420 6## ### ###",
        "+48 5## ### ###",
        "+351 91# ### ###",
        "+30 69# ### ####",
        "+375 29 ###-##-##",
        "+998 90 ### ## ##",
        "+47 4## ## ###",
        "+358 40 #######",
        "+45 2# ## ## ##",
        "(+34) 6## ## ## ##",
        "+33(0)6########",
        "0033 6 ## ## ## ##",
        "0044 7911 ######",
        "+1 (%0%) %##-####",
    ];
    // Those that stand anywhere, and those that an announcement makes phone numbers.
    let own: (&[&str], &[&str]) = match script {
        Script::Latin => (
            &["06.##.##.##.##", "0171-#######", "0161 4## ####", "070-3## ## ##", "0912.###.###"],
            &["(11) 9%###-####", "2# ## ## ##", "601-###-###", "55 %### ####", "0812-####-####"],
        ),
        Script::Cyrillic => (
            &[
                "8-916-###-##-##",
                "+38 (067) ###-##-##",
                "(097) ### ## ##",
                "8.916.###.##.##",
                "+38067#######",
            ],
            &["916 ###-##-##", "064/###-##-##", "8 029 ###-##-##", "02/9## ## ##"],
        ),
        Script::Arabic => (
            &[
                "+965 %### ####",
                "00966 5# ### ####",
                "+213 6 ## ## ## ##",
                "077# ### ####",
                "0912 ### ## ##",
            ],
            &["%### ####", "(021) ########", "0321-#######", "010 #### ####", "0661-######"],
        ),
        Script::Hebrew => (
            &["05%-###-##-##", "(03) ###-####", "+972.54.###.####", "077-%##-####", "04-8######"],
            &["972-54-#######", "050/#######", "0%#######", "052 ### ## ##"],
        ),
        Script::Devanagari => (
            &[
                "(+91) 98### #####",
                "0091 98### #####",
                "0120-4######",
                "080-2### ####",
                "+977-98#-#######",
            ],
            &["98 #### ####", "01-4######", "91 98### #####", "98#-###-####"],
        ),
        Script::Thai => (
            &["08-####-####", "02 ###-####", "+668########", "038-###-###", "(+66) 8# ### ####"],
            &["06########", "09# ### ## ##", "0 2### ####", "08#.###.####"],
        ),
        Script::Han => (
            &[
                "0571-8#######",
                "(0755)8#######",
                "+886-2-2###-####",
                "09##-######",
                "(+86)138########",
            ],
            &["6### ####", "9###-####", "0086-139########", "04-2### ####", "177 #### ####"],
        ),
        Script::Kana => (
            &[
                "０９０－####－####",
                "03（####）####",
                "0463-##-####",
                "(0467)##-####",
                "+81-90-####-####",
            ],
            &["0263(##)####", "090.####.####", "080 #### ####", "0800-###-####"],
        ),
        Script::Hangul => (
            &[
                "010 - #### - ####",
                "+82 (0)10-####-####",
                "(031) ###-####",
                "0507-####-####",
                "053-###-####",
            ],
            &["82-10-####-####", "010/####/####", "1577-####", "02.###.####"],
        ),
    };
    let (template, place) = match draws.below(9) {
        0..3 => (*draws.pick(&INTERNATIONAL), Place::Any),
        3..6 => (*draws.pick(own.0), Place::Any),
        _ => (*draws.pick(own.1), Place::Phone),
    };
    let number = digits::filled(template, draws);
    let local = draws.chance(1, 4);
    let written = if local { digits::localised(&number, script, draws) } else { number };
    let item = Item::new(written, "[phone]").at(place);
    match draws.below(8) {
        0 => item.between("tel:", ""),
        1 => item.between("☎", ""),
        2 => item.between("📱 ", ""),
        _ => item,
    }
}

fn ipv4(script: Script, draws: &mut Draws) -> Item {
    let first = *draws.pick(&[37, 46, 58, 79, 85, 102, 118, 139, 159, 176, 189, 213]);
    // Three figures somewhere, so that no address is also the form of a version.
    let second = 100 + draws.below(156);
    let address = format!("{first}.{second}.{}.{}", draws.below(256), 1 + draws.below(254));
    let item = Item::new(address.clone(), "[ip]").at(Place::Machine);
    match draws.below(10) {
        0 => item.between("ssh root@", ""),
        1 => item.between("", " - - [12/Mar/2024:13:55:36 +0000] \"GET / HTTP/1.1\" 404"),
        2 => Item::new(address, "[ip]").between("from ", " port 22"),
        3 => Item::new(format!("{address}:8080"), "[ip]").between("http://", "/index.html"),
        4 => Item::new(address, "[ip]").between("src=", ""),
        5 => item.between("[", "]"),
        6 => item.between("\"", "\""),
        7 => Item::new(digits::localised(&address, script, draws), "[ip]").at(Place::Machine),
        8 => Item::new(address, "[ip]").between("tcp://", ""),
        _ => Item::new(address, "[ip]").between("IP=", ""),
    }
}

fn ipv6(draws: &mut Draws) -> Item {
    let prefix = *draws.pick(&[
        "2001:b011",
        "2001:2d8",
        "2a0d:6fc0",
        "2405:9800",
        "2409:4050",
        "240b:10",
        "2a02:6b8",
        "2a01:cb08",
    ]);
    let groups: Vec<u16> = (0..6).map(|_| draws.below(0xffff) as u16 + 1).collect();
    let short: Vec<String> = groups.iter().map(|group| format!("{group:x}")).collect();
    let whole = format!("{prefix}:{}", short.join(":"));
    match draws.below(8) {
        0 => Item::new(format!("{prefix}:{}::{}", short[0], short[1]).to_uppercase(), "[ip]"),
        1 => Item::new(format!("{prefix}::{}", short[..2].join(":")), "[ip]")
            .between("http://[", "]:8080/"),
        2 => Item::new(format!("{whole}/128"), "[ip]"),
        3 => Item::new(whole, "[ip]").between("IPv6:", ""),
        4 => Item::new(whole, "[ip]").between("\"", "\""),
        5 => Item::new(whole, "[ip]").between("", ", port 443"),
        6 => Item::new(format!("{prefix}:{}::/56", short[0]), "[ip]").between("(", ")"),
        _ => Item::new(format!("{prefix}:0:{}::{}", short[0], short[1..3].join(":")), "[ip]"),
    }
}

fn card(script: Script, draws: &mut Draws) -> Item {
    // With issuers of the countries where the script is written.
    let own: &[(&str, usize)] = match script {
        Script::Latin => &[("9792", 16), ("6441", 16)],
        Script::Cyrillic => &[("2200", 16), ("2202", 16)],
        Script::Arabic => &[("6037", 16), ("6104", 16)],
        Script::Devanagari => &[("6521", 16), ("6070", 16)],
        Script::Han => &[("622848", 19), ("621700", 19)],
        Script::Kana => &[("3540", 16), ("3588", 16)],
        _ => &[("4580", 16), ("5326", 16)],
    };
    let (prefix, length) = match draws.chance(1, 3) {
        true => *draws.pick(own),
        false => *draws.pick(&[
            ("4", 16),
            ("52", 16),
            ("2345", 16),
            ("38", 14),
            ("37", 15),
            ("6226", 16),
            ("6759", 16),
        ]),
    };
    let mut number = prefix.to_string();
    while number.len() < length - 1 {
        number.push_str(&draws.below(10).to_string());
    }
    number.push(luhn_digit(&number));
    let groups: &[usize] = match length {
        14 => &[4, 6, 4],
        15 => &[4, 6, 5],
        _ => &[4, 4, 4, 4, 4],
    };
    let join = *draws.pick(&["", " ", " ", "-", "\u{2013}", "\u{2009}", " - "]);
    let written = digits::grouped(&number, groups, join);
    let local = draws.chance(1, 5);
    let written = if local { digits::localised(&written, script, draws) } else { written };
    let item = Item::new(written, "[card]");
    match draws.below(6) {
        0 => item.between("Visa/MC: ", ""),
        1 => item.between("", " exp 09/27"),
        2 => item.between("", " (CVV ***)"),
        3 => item.between("💳", ""),
        _ => item,
    }
}

fn iban(script: Script, draws: &mut Draws) -> Item {
    // Countries, and accounts with `#` for a digit.
    const EVERYWHERE: [(&str, &str); 12] = [
        ("NO", "###########"),
        ("DK", "##############"),
        ("FI", "##############"),
        ("HU", "########################"),
        ("HR", "#################"),
        ("LU", "################"),
        ("LT", "################"),
        ("LV", "BANK#############"),
        ("MT", "MALT#######################"),
        ("CY", "########################"),
        ("BR", "#######################P1"),
        ("SK", "####################"),
    ];
    let own: &[(&str, &str)] = match script {
        Script::Cyrillic => &[
            ("BG", "BNBG##############"),
            ("RS", "##################"),
            ("KZ", "################"),
            ("BY", "NBRB####################"),
            ("MK", "###############"),
        ],
        Script::Arabic => &[
            ("JO", "CBJO######################"),
            ("KW", "CBKU######################"),
            ("QA", "DOHB#####################"),
            ("EG", "#########################"),
            ("PK", "SCBL################"),
            ("IR", "######################"),
            ("BH", "BMAG##############"),
        ],
        Script::Hebrew => &[("IL", "###################")],
        _ => &[("GE", "NB################"), ("AZ", "NABZ####################")],
    };
    let pick_own = draws.chance(1, 2);
    let (country, account) = *draws.pick(if pick_own { own } else { &EVERYWHERE });
    let account = digits::filled(account, draws);
    let whole = format!("{country}{}{account}", check_iban(country, &account));
    let spaced = digits::grouped(&whole, &[4; 9], " ");
    match draws.below(8) {
        0 => Item::new(whole, "[iban]"),
        1 => Item::new(whole.to_lowercase(), "[iban]"),
        2 => Item::new(digits::grouped(&whole, &[4; 9], "\u{202f}"), "[iban]"),
        3 => Item::new(spaced, "[iban]").between("IBAN # ", ""),
        4 => Item::new(whole, "[iban]").between("", " (BIC EXAMPLEX)"),
        5 => Item::new(spaced, "[iban]").between("🏦 ", ""),
        6 => Item::new(spaced, "[iban]").between("\"", "\""),
        _ => Item::new(spaced, "[iban]"),
    }
}

fn account_name(draws: &mut Draws) -> String {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    match draws.below(5) {
        0 => format!("_{name}_{surname}"),
        1 => format!("{name}{surname}_{}", 10 + draws.below(90)),
        2 => format!("real{}{}", name[..1].to_uppercase(), &name[1..]),
        3 => format!("{name}x{surname}"),
        _ => format!("{surname}{}", 1970 + draws.below(40)),
    }
}

/// Names in Han that Weibo links.
const HAN_NAMES: [&str; 5] =
    ["麦田里的风", "阿青爱读书", "一只胖橘猫", "夜航船_南京", "慢慢来不着急"];

fn handle(script: Script, draws: &mut Draws) -> Item {
    if script == Script::Han && draws.chance(1, 5) {
        let item = Item::new(format!("@{}", draws.pick(&HAN_NAMES)), "@user").at(Place::Free);
        return match draws.below(3) {
            0 => item.between("回复", ":"),
            1 => item.between("感谢", "！"),
            _ => item.between("//", "："),
        };
    }
    let name = account_name(draws);
    let plain = name.replace('_', "").to_lowercase();
    // What people of the script write next to a handle without a space.
    let (before, after) = match script {
        Script::Latin => ("", "'s"),
        Script::Cyrillic => ("«", "»"),
        Script::Arabic => ("يا ", "،"),
        Script::Hebrew => ("ל-", ""),
        Script::Devanagari => ("", " जी"),
        Script::Thai => ("คุณ", ""),
        Script::Han => ("", " 老师"),
        Script::Kana => ("", "さん"),
        Script::Hangul => ("", "님"),
    };
    const SERVERS: [&str; 6] = [
        "mastodon.nl",
        "pawoo.net",
        "mastodon.world",
        "social.example.com.br",
        "planet.moe",
        "troet.cafe",
    ];
    match draws.below(11) {
        0 => Item::new(format!("@{name}@{}", draws.pick(&SERVERS)), "@user"),
        1 => Item::new(format!("@{name}@{}", draws.pick(&SERVERS)), "@user").between("(", ")"),
        2 => Item::new(format!("@{plain}.example.co.uk"), "@user"),
        3 => Item::new(format!("@{plain}.bsky.social"), "@user").between("cc ", ""),
        4 => Item::new(format!("u/{name}"), "@user").between("(", ")"),
        5 => Item::new(format!("@{name}"), "@user").between("IG: ", ""),
        6 => Item::new(format!("@{plain}.{}", 10 + draws.below(90)), "@user"),
        7 => Item::new(format!("@{name}"), "@user").between("📸", ""),
        8 => Item::new(format!("@{name}"), "@user").between("~ ", " ~"),
        _ => Item::new(format!("@{name}"), "@user").between(before, after),
    }
}

/// Profiles and posts of networks, as people copy them, and addresses with a user.
fn link(script: Script, draws: &mut Draws) -> Item {
    let name = account_name(draws);
    let plain = name.replace('_', "").to_lowercase();
    let number = 1_000_000 + draws.below(8_000_000);
    let own: Vec<String> = match script {
        Script::Latin => vec![
            format!("https://www.flickr.com/photos/{plain}/52{number}"),
            format!("https://linktr.ee/{plain}"),
            format!("https://www.last.fm/user/{name}"),
        ],
        Script::Cyrillic => vec![
            format!("https://{plain}.livejournal.com/{number}.html"),
            format!("https://vk.com/id{number}"),
            format!("https://habr.com/ru/users/{plain}/"),
        ],
        Script::Arabic => vec![
            format!("https://www.snapchat.com/@{plain}"),
            format!("https://ask.fm/{plain}"),
            format!("https://virgool.io/@{plain}/rope-{number}"),
        ],
        Script::Hebrew => vec![
            format!("https://www.facebook.com/{plain}/posts/10{number}"),
            format!("https://www.tiktok.com/@{name}"),
        ],
        Script::Devanagari => vec![
            format!("https://www.quora.com/profile/{plain}"),
            format!("https://sharechat.com/profile/{plain}"),
        ],
        Script::Thai => vec![
            format!("https://pantip.com/profile/{number}"),
            format!("https://line.me/ti/p/~{plain}"),
        ],
        Script::Han => vec![
            format!("https://space.bilibili.com/{number}"),
            format!("https://www.douban.com/people/{plain}/"),
            format!("https://weibo.com/n/{plain}"),
        ],
        Script::Kana => vec![
            format!("https://ameblo.jp/{plain}/"),
            format!("https://www.pixiv.net/users/{number}"),
            format!("https://qiita.com/{plain}"),
        ],
        Script::Hangul => vec![
            format!("https://{plain}.tistory.com/12"),
            format!("https://velog.io/@{plain}/rope"),
            format!("https://brunch.co.kr/@{plain}/3"),
        ],
    };
    if draws.chance(1, 4) {
        return Item::new(draws.pick(&own).clone(), "[link]");
    }
    let whole = match draws.below(18) {
        0 => format!("https://x.com/{name}?s=20"),
        1 => format!("https://www.instagram.com/{name}?igsh=MWQ1{number}"),
        2 => format!("http://www.twitter.com/{name}"),
        3 => format!("https://t.me/{name}/{}", 10 + draws.below(900)),
        4 => format!("https://telegram.me/{name}"),
        5 => format!("HTTPS://GITHUB.COM/{plain}"),
        6 => format!("github.com/{plain}/dotfiles"),
        7 => format!("www.tiktok.com/@{name}"),
        8 => format!("https://x.com/{name}/status/17{number}0000000000#m"),
        9 => format!("https://www.linkedin.com/in/{plain}-{number}?trk=public"),
        10 => format!("https://www.youtube.com/@{name}/videos"),
        11 => format!("https://stackoverflow.com/users/{number}/{plain}"),
        12 => format!("https://{plain}:hunter{number}@intranet.example.com/wiki"),
        13 => format!("mongodb+srv://{plain}:pw{number}@cluster0.example.net/db"),
        14 => format!("sftp://{plain}@files.example.org/home"),
        15 => format!("https://pixelfed.social/@{name}"),
        16 => format!("https://www.reddit.com/user/{name}/comments/"),
        _ => format!("https://www.threads.com/@{name}"),
    };
    Item::new(whole, "[link]")
}

fn national_id(script: Script, draws: &mut Draws) -> Item {
    let area = *draws.pick(&[1, 78, 219, 457, 574, 667, 733, 750, 812, 899]);
    let (group, serial) = (1 + draws.below(99), 1 + draws.below(9999));
    let number = format!("{area:03}-{group:02}-{serial:04}");
    match draws.below(7) {
        0 => Item::new(number, "[id]").between("SSN#", ""),
        1 => Item::new(number, "[id]").between("social security number ", ""),
        2 => Item::new(number.replace('-', "\u{2013}"), "[id]"),
        3 => Item::new(digits::localised(&number, script, draws), "[id]"),
        4 => Item::new(number, "[id]").between("\"", "\""),
        5 => Item::new(number, "[id]").between("SSN=", ""),
        _ => Item::new(number, "[id]").between("", ", USA"),
    }
}

/// Classes of look-alikes beside those asked before.
pub const CLASSES: [&str; 22] = [
    "hashtag",
    "measure",
    "emoticon",
    "episode",
    "market",
    "statistics",
    "chemistry",
    "citation",
    "zone",
    "shell",
    "framework",
    "dependency",
    "unit of a system",
    "lottery",
    "binary",
    "map",
    "match",
    "recipe",
    "rows of years",
    "key",
    "money of a country",
    "page without a user",
];

/// One look-alike of such a class.
pub fn look_alike(class: &str, draws: &mut Draws) -> String {
    let plain: &[&str] = match class {
        "hashtag" => &["#100DaysOfCode", "#2024", "#COP28", "#12345", "#24hLeMans", "#3D_print"],
        "measure" => &[
            "-12.5 °C",
            "1.234,56 kg",
            "210 × 297 mm",
            "5'11\"",
            "12 000 BTU",
            "120/80 mmHg",
            "3.5e6 m³",
        ],
        "emoticon" => &[":@", "@_@", "(@_@)", ">:@", "@};--", "cr@p", "d@mn", "(＠_＠;)"],
        "episode" => &["S01E02", "2x04", "Ep. 12-13", "3:45 / 4:12", "S3 E10-11", "00:12:34,567"],
        "statistics" => &[
            "p < 0.001",
            "95% CI 1.2–3.4",
            "n = 12,345",
            "χ²(3) = 12.4",
            "12.3 ± 4.5",
            "F(2, 147) = 3.91",
        ],
        "chemistry" => {
            &["C6H12O6", "CAS 7732-18-5", "rs1234567", "EC 1.1.1.1", "H2SO4", "50-00-0", "Fe(CN)6"]
        }
        "citation" => &[
            "ISSN 2049-3630",
            "10.1038/nphys1170",
            "arXiv:2301.01234v2",
            "PMID 31978945",
            "42 USC § 1983",
            "COM(2021) 206",
        ],
        "zone" => &[
            "UTC+05:30",
            "GMT-3",
            "2024-06-01T12:30:00+02:00",
            "12:30:45.678 +0900",
            "Mon, 03 Jun 2024 08:00:00 +0000",
        ],
        "shell" => &[
            "0 5 * * 1-5",
            "chmod 0755",
            "2>&1",
            r"\d{3}-\d{4}",
            "[0-9]{3}-[0-9]{4}",
            "\"$@\"",
            "${names[@]}",
            "SELECT @@VERSION",
        ],
        "framework" => &[
            "@Component({selector: \"a\"})",
            "@GetMapping(\"/a\")",
            "@Autowired",
            "@lru_cache(maxsize=None)",
            "@objc func a()",
            "@State private var n = 0",
            "@include flex",
            "@supports (display: grid)",
            "@foreach ($a as $b)",
        ],
        "dependency" => &[
            "@vue/cli",
            "@nestjs/common@10.0.0",
            "typescript@latest",
            "actions/checkout@v4",
            "vite@^5.2.0",
            "python@3.12",
        ],
        "unit of a system" => &[
            "getty@tty1.service",
            "openvpn@client.service",
            "wg-quick@wg0",
            "postgresql@14-main.service",
        ],
        "key" => {
            &["X4K7P-M2Q9R-8T3WY", "S/N C02XL0GTJGH5", "A1B2-C3D4-E5F6", "LOT 23-0456-B", "#A-1042"]
        }
        "map" => &[
            "geo:35.68,139.76",
            "N 52° 31.200' E 13° 24.300'",
            "31U DQ 48251 11932",
            "8FVC9G8F+6X",
            "35°41′22″N 139°41′30″E",
            "(48.2082, 16.3738)",
        ],
        "page without a user" => &[
            "https://www.amazon.com/dp/B08N5WRWNW",
            "https://youtu.be/dQw4w9WgXcQ?t=42",
            "https://doi.org/10.1000/182",
            "https://arxiv.org/abs/2301.01234",
            "https://stackoverflow.com/questions/11227809/why-is-it",
            "https://www.bilibili.com/video/BV1xx411c7mD",
            "https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC",
            "https://www.pixiv.net/artworks/1234567",
            "https://vk.com/feed",
            "https://example.org:8443/a?b=1#c",
        ],
        _ => return numbers(class, draws),
    };
    (*draws.pick(plain)).to_string()
}

fn numbers(class: &str, draws: &mut Draws) -> String {
    let template = match class {
        "market" => *draws.pick(&[
            "0.000#2345 BTC",
            "EUR/USD 1.0%#4",
            "+1.2#",
            "S&P 5,1%#.42",
            "EURIBOR 3.%##",
        ]),
        "lottery" => *draws.pick(&[
            "3, 11, 2#, 35, 42, 49",
            "12-23-3#-41-45",
            "1 4 9 16 25 3#",
            "1# 24 35 42 49 (07)",
            "7 14 2# 28 35 + 2",
        ]),
        "binary" => {
            *draws.pick(&["01100001 011000##", "0xDEADBEE%", "0b1010", "48 65 6c 6c 6f", "1e10 %f"])
        }
        "match" => *draws.pick(&[
            "6:4, 3:6, 7:6(%)",
            "24%/7 (50)",
            "3–2 (25–21, 22–25, 25–1#)",
            ".312/.401/.5#7",
            "11-%, 9-11, 11-#",
            "1.e4 1-0",
        ]),
        "recipe" => {
            *draws.pick(&["1/2 + 1/4", "½ + ¼", "2 1/2", "3 x 2#0 ml", "1:1:%", "180°/45 min"])
        }
        "rows of years" => *draws.pick(&[
            "2019 2020 202#",
            "1989/90 – 1991/9#",
            "2024-2025-2026",
            "2008, 2012, 201#",
            "19#0-2000-2010",
        ]),
        _ => *draws.pick(&[
            "Rp 1.%50.000",
            "₩1,%50,000",
            "1.2#4.567 đ",
            "฿1,%99",
            "AED 1,4##.00",
            "R$ 1.%34,56",
            "₴1 %50",
            "12,3#,567",
            "1.2万",
        ]),
    };
    digits::filled(template, draws)
}
