//! Personal data and look-alikes in other forms than those of `formats` and `look_alikes`, that were asked once
//! with the sentences of `asked_third`.

use super::contexts::Script;
use super::digits::{self, check_iban, luhn_digit};
use super::formats::{Item, Kind, Place};
use stoa_random::Draws;

/// One item of a kind, in another form than those of `formats`.
pub fn item(kind: Kind, script: Script, draws: &mut Draws) -> Item {
    match kind {
        Kind::Email => email(script, draws),
        Kind::Phone => phone(script, draws),
        Kind::Ipv4 => ipv4(draws),
        Kind::Ipv6 => ipv6(draws),
        Kind::Card => card(draws),
        Kind::Iban => iban(draws),
        Kind::Handle => handle(script, draws),
        Kind::Link => link(draws),
        Kind::NationalId => national_id(draws),
    }
}

const NAMES: [&str; 12] = [
    "greta", "oleh", "rosa", "haruto", "seoyeon", "malee", "karim", "tamar", "anil", "lev", "wei",
    "aoife",
];
const SURNAMES: [&str; 10] = [
    "fischer", "nguyen", "okafor", "suzuki", "choi", "mansour", "katz", "verma", "sokolov",
    "oconnor",
];
const DOMAINS: [&str; 8] = [
    "post.example.org",
    "example.photography",
    "students.dept.example.edu",
    "example.com.au",
    "example.pl",
    "example.or.th",
    "mail-7.example.it",
    "example.io",
];

fn email(script: Script, draws: &mut Draws) -> Item {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    let domain = *draws.pick(&DOMAINS);
    let number = draws.below(9000) + 1000;
    let initial = &name[..1];
    let word = match script {
        Script::Latin => *draws.pick(&["(arroba)", "[ät]", "(chez)"]),
        Script::Cyrillic => *draws.pick(&["(собака)", "[собака]"]),
        _ => *draws.pick(&["[ at ]", "(@)"]),
    };
    let address = match draws.below(10) {
        0 => format!("{surname}.{name}.{number}@{domain}"),
        1 => format!("{initial}.{surname}@{domain}"),
        2 => format!("{name}.{surname}@{domain}").to_uppercase(),
        3 => format!("{name}-{number}@xn--bckerei-5wa.example"),
        4 => format!("{name}@bücher.example"),
        5 => {
            let item = Item::new(format!("{name}@{domain}"), "[email]");
            return item.between("\"Buchladen\" <", ">");
        }
        6 => format!("{name}.{surname}+list-{number}@{domain}"),
        7 => {
            let text = format!("{name}{{at}}{}", domain.replace('.', "{dot}"));
            return Item::new(text, "[email]").at(Place::Free);
        }
        8 => return Item::new(format!("{name}{word}{domain}"), "[email]").at(Place::Free),
        _ => format!("_{name}_{surname}@{domain}"),
    };
    Item::new(address, "[email]")
}

/// `#` for a digit and `%` for one of 2 to 9.
fn phone(script: Script, draws: &mut Draws) -> Item {
    const INTERNATIONAL: [&str; 15] = [
        "+39 347 ### ####",
        "+34 612 ## ## ##",
        "+55 11 9%###-####",
        "+52 55 %### ####",
        "+62 812-%###-####",
        "+84 90 ### ## ##",
        "+90 532 ### ## ##",
        "+234 803 ### ####",
        "+61 412 ### ###",
        "+46 70-%## ## ##",
        "0049 30 9#####",
        "+1.%0%.%##.####",
        "+44 (0)7911 ######",
        "+353 87 %## ####",
        "+41 79 ### ## ##",
    ];
    // Those that stand anywhere, and those that an announcement makes phone numbers.
    let own: (&[&str], &[&str]) = match script {
        Script::Latin => (
            &["1 (%0%) %##-####", "%0%.%##.####", "0532 ### ## ##", "07911 ######", "06-########"],
            &["612 34 ## ##", "347 ### ####", "0176/########", "512 ### ###", "090########"],
        ),
        Script::Cyrillic => (
            &[
                "8 916 ###-##-##",
                "8(905)###-##-##",
                "+7(916)#######",
                "+7-903-###-##-##",
                "067-###-##-##",
            ],
            &["8 (812) ###-##-##", "0888 ### ###", "+7916#######", "(044) ###-##-##"],
        ),
        Script::Arabic => (
            &[
                "+971 50 ### ####",
                "+962 7 9### ####",
                "+212 6## ## ## ##",
                "+92 300 #######",
                "0912-###-####",
            ],
            &["05########", "021-8#######", "0300-#######", "010########"],
        ),
        Script::Hebrew => (
            &["050-#######", "052-%######", "+972-5%-%######", "+972 (0)54 %## ####", "09-7%#####"],
            &["052%######", "03 6## ####", "1-800-%##-###"],
        ),
        Script::Devanagari => (
            &[
                "+91-98###-#####",
                "+91 (98###) #####",
                "98##-###-###",
                "011-2%######",
                "+977 98########",
            ],
            &["98### #####", "0 98### #####", "97########"],
        ),
        Script::Thai => (
            &["089-#######", "091 ### ####", "+66 (0)81 ### ####", "+66-2-###-####", "053-###-###"],
            &["02 ### ####", "089#######", "0-2%##-####"],
        ),
        Script::Han => (
            &[
                "+86-138-####-####",
                "021-6%## ####",
                "0755-8%######",
                "+886 912 ### ###",
                "+852 9%## ####",
            ],
            &["(02)2%##-####", "400-8%#-####", "152########", "138 #### ####"],
        ),
        Script::Kana => (
            &[
                "080-%###-####",
                "070 %### ####",
                "(090)%###-####",
                "06-6%##-####",
                "+81-3-%###-####",
            ],
            &["052-%##-####", "080%#######", "050-%###-####"],
        ),
        Script::Hangul => (
            &["010 %### ####", "+82-2-%##-####", "(02)%##-####", "051-%##-####", "070-%###-####"],
            &["010)%###-####", "010%#######", "1588-####"],
        ),
    };
    let (template, place) = match draws.below(9) {
        0..3 => (*draws.pick(&INTERNATIONAL), Place::Any),
        3..6 => (*draws.pick(own.0), Place::Any),
        _ => (*draws.pick(own.1), Place::Phone),
    };
    let number = digits::filled(template, draws);
    let own = draws.chance(1, 4);
    Item::new(if own { digits::localised(&number, script, draws) } else { number }, "[phone]")
        .at(place)
}

fn ipv4(draws: &mut Draws) -> Item {
    let first = *draws.pick(&[34, 47, 52, 89, 94, 116, 142, 157, 171, 188, 201, 217]);
    // Three figures somewhere, so that no address is also the form of a version.
    let second = 100 + draws.below(156);
    let address = format!("{first}.{second}.{}.{}", draws.below(256), 1 + draws.below(254));
    match draws.below(6) {
        0 => Item::new(format!("{address}/{}", 20 + draws.below(12)), "[ip]").at(Place::Machine),
        1 => Item::new(format!("{address}:8443"), "[ip]").between("https://", "/login"),
        2 => Item::new(address, "[ip]").between("(", ")").at(Place::Machine),
        3 => Item::new(address, "[ip]").between("udp://", ""),
        4 => Item::new(address, "[ip]").between("IP:", ""),
        _ => Item::new(address, "[ip]").at(Place::Machine),
    }
}

fn ipv6(draws: &mut Draws) -> Item {
    let prefix =
        *draws.pick(&["2003:e7", "2804:14c", "2a00:1450", "2408:8207", "2a03:2880", "2600:1f18"]);
    let groups: Vec<u16> = (0..6).map(|_| draws.below(0xffff) as u16 + 1).collect();
    let padded: Vec<String> = groups.iter().map(|group| format!("{group:04x}")).collect();
    let short: Vec<String> = groups.iter().map(|group| format!("{group:x}")).collect();
    match draws.below(5) {
        0 => Item::new(format!("{prefix}:{}", padded.join(":")), "[ip]"),
        1 => Item::new(format!("{prefix}:{}::/64", short[..2].join(":")), "[ip]"),
        2 => Item::new(format!("{prefix}::{}", short[..3].join(":")), "[ip]")
            .between("https://[", "]/"),
        3 => Item::new(format!("{prefix}:{}:0:0:0:0:{}", short[0], short[1]), "[ip]"),
        _ => Item::new(format!("{prefix}:{}", short.join(":")), "[ip]").between("(", ")"),
    }
}

fn card(draws: &mut Draws) -> Item {
    let (prefix, length) = *draws.pick(&[
        ("34", 15),
        ("36", 14),
        ("54", 16),
        ("2720", 16),
        ("65", 16),
        ("6225", 16),
        ("4026", 16),
        ("3566", 16),
    ]);
    let mut number = prefix.to_string();
    while number.len() < length - 1 {
        number.push_str(&draws.below(10).to_string());
    }
    number.push(luhn_digit(&number));
    let groups: &[usize] = match length {
        14 => &[4, 6, 4],
        15 => &[4, 6, 5],
        _ => &[4, 4, 4, 4],
    };
    let join = *draws.pick(&["", " ", "-", "\u{a0}", "."]);
    Item::new(digits::grouped(&number, groups, join), "[card]")
}

fn iban(draws: &mut Draws) -> Item {
    let (country, bank, length) = *draws.pick(&[
        ("ES", "", 24),
        ("IT", "X", 27),
        ("PT", "", 25),
        ("BE", "", 16),
        ("SE", "", 24),
        ("AT", "", 20),
        ("RO", "AAAA", 24),
        ("AE", "", 23),
        ("IE", "BOFI", 22),
        ("GR", "", 27),
        ("CZ", "", 24),
    ]);
    let mut account = bank.to_string();
    while account.len() < length - 4 {
        account.push_str(&draws.below(10).to_string());
    }
    let whole = format!("{country}{}{account}", check_iban(country, &account));
    let fours = [4; 9];
    match draws.below(6) {
        0 => Item::new(digits::grouped(&whole, &fours, "-"), "[iban]"),
        1 => Item::new(digits::grouped(&whole, &fours, " ").to_lowercase(), "[iban]"),
        2 => Item::new(whole, "[iban]").between("IBAN:", ""),
        3 => Item::new(digits::grouped(&whole, &fours, " "), "[iban]").between("IBAN ", ""),
        4 => Item::new(whole, "[iban]"),
        _ => Item::new(digits::grouped(&whole, &fours, " "), "[iban]").between("(", ")"),
    }
}

fn account_name(draws: &mut Draws) -> String {
    let (name, surname) = (*draws.pick(&NAMES), *draws.pick(&SURNAMES));
    match draws.below(4) {
        0 => format!("{name}_{surname}_"),
        1 => format!("the_{name}"),
        2 => format!("{name}{surname}{}", 1 + draws.below(9)),
        _ => format!("{}{}", name[..1].to_uppercase(), &name[1..]),
    }
}

/// Names in Han that Weibo links.
const HAN_NAMES: [&str; 5] =
    ["深夜食堂老王", "小鹿慢慢走", "爱吃鱼的阿明", "山里人家_云南", "北方的风筝"];

fn handle(script: Script, draws: &mut Draws) -> Item {
    if script == Script::Han && draws.chance(1, 5) {
        let item = Item::new(format!("@{}", draws.pick(&HAN_NAMES)), "@user").at(Place::Free);
        return match draws.below(3) {
            0 => item.between("//", ":"),
            1 => item.between("谢谢 ", " "),
            _ => item,
        };
    }
    let name = account_name(draws);
    let plain = name.replace('_', "").to_lowercase();
    const SERVERS: [&str; 5] =
        ["chaos.social", "mas.to", "social.example.co.uk", "piaille.fr", "misskey.io"];
    match draws.below(9) {
        0 | 1 => Item::new(format!("@{name}@{}", draws.pick(&SERVERS)), "@user"),
        2 => Item::new(format!("@{plain}-{}.com", draws.pick(&SURNAMES)), "@user"),
        3 => Item::new(format!("@{plain}.bsky.social"), "@user").between("(via ", ")"),
        4 => Item::new(format!("u/{plain}-{}", 10 + draws.below(90)), "@user"),
        5 => Item::new(format!("@{name}"), "@user").between(".", ""),
        6 => Item::new(format!("@{name}"), "@user").between("RT ", ":"),
        7 => Item::new(format!("@{plain}.{}", draws.pick(&SURNAMES)), "@user"),
        _ => Item::new(format!("@{name}"), "@user"),
    }
}

/// Profiles and posts of networks that people link to, and addresses with a user.
fn link(draws: &mut Draws) -> Item {
    let name = account_name(draws);
    let plain = name.replace('_', "").to_lowercase();
    let number = 1_000_000 + draws.below(8_000_000);
    let whole = match draws.below(24) {
        0 => format!("https://mastodon.online/@{name}/10923{number}"),
        1 => format!("https://www.threads.net/@{name}/post/Cx{number}"),
        2 => format!("https://www.pinterest.com/{name}/"),
        3 => format!("https://{plain}.tumblr.com/post/{number}"),
        4 => format!("https://medium.com/@{name}/on-bread-{number}"),
        5 => format!("https://soundcloud.com/{plain}"),
        6 => format!("https://www.twitch.tv/{name}"),
        7 => format!("https://m.facebook.com/profile.php?id=1000{number}"),
        8 => format!("https://old.reddit.com/u/{name}"),
        9 => format!("https://weibo.com/u/5{number}"),
        10 => format!("https://ok.ru/profile/57{number}"),
        11 => format!("https://steamcommunity.com/id/{name}"),
        12 => format!("https://www.patreon.com/{plain}"),
        13 => format!("https://www.snapchat.com/add/{name}"),
        14 => format!("https://gitlab.com/{plain}"),
        15 => format!("https://mobile.twitter.com/{name}/status/15{number}00000000000"),
        16 => format!("https://{plain}.substack.com/"),
        17 => format!("https://blog.naver.com/{plain}"),
        18 => format!("https://note.com/{plain}"),
        19 => format!("https://www.zhihu.com/people/{plain}"),
        20 => format!("mysql://{plain}:geheim@db.example.net/shop"),
        21 => format!("ssh://{plain}@build.example.org/srv"),
        22 => format!("https://bsky.app/profile/{plain}.example.com/post/3k{number}"),
        _ => format!("https://www.instagram.com/stories/{name}/{number}/"),
    };
    Item::new(whole, "[link]")
}

fn national_id(draws: &mut Draws) -> Item {
    let area = 1 + draws.below(665);
    let (group, serial) = (1 + draws.below(99), 1 + draws.below(9999));
    let number = format!("{area:03}-{group:02}-{serial:04}");
    match draws.below(3) {
        0 => Item::new(number, "[id]").between("SSN: ", ""),
        1 => Item::new(number.replace('-', "\u{2011}"), "[id]"),
        _ => Item::new(number, "[id]").between("(", ")"),
    }
}

/// Classes of look-alikes beside those of `look_alikes`.
pub const CLASSES: [&str; 16] = [
    "parcel",
    "flight",
    "colour",
    "barcode",
    "chess",
    "prompt",
    "style sheet",
    "annotation",
    "part",
    "pages",
    "result",
    "law",
    "invoice",
    "rate",
    "network",
    "page of a network",
];

/// One look-alike of such a class.
pub fn look_alike(class: &str, draws: &mut Draws) -> String {
    let plain: &[&str] = match class {
        "colour" => &["#ff8800", "rgb(12, 200, 4)", "hsl(120 50% 40%)", "#0af", "RAL 9010"],
        "chess" => &["1. e4 e5 2. Nf3", "Qxd5+", "e2-e4", "23...Kh8", "O-O-O"],
        "prompt" => &["root@localhost", "pi@raspberrypi:~ $", "user@build-01:/srv", "root@db2:~#"],
        "style sheet" => {
            &["@keyframes spin", "@font-face", "@layer base", "@page :first", "@charset \"utf-8\""]
        }
        "annotation" => &[
            "@Deprecated",
            "@NotNull",
            "@Test",
            "@functools.cache",
            "@torch.no_grad()",
            "@param x",
        ],
        "part" => &[
            "205/55 R16 91V",
            "1920x1080",
            "IP67",
            "DDR5-5600",
            "M8x1.25",
            "USB 3.2 2x2",
            "LM7805",
        ],
        "law" => &["§ 433 Abs. 1", "1 BvR 2649/21", "12 U.S.C. 1841", "(EU) 2016/679", "art. 6-1"],
        "network" => {
            &["0.0.0.0", "255.255.255.0", "127.0.0.1:8080", "192.168.178.0/24", "10.8.0.0/16"]
        }
        "page of a network" => &[
            "https://x.com/home",
            "https://www.instagram.com/explore/",
            "https://www.reddit.com/r/bread/comments/1abcd/rye/",
            "https://www.youtube.com/playlist?list=PL123",
            "https://github.com/features",
            "https://www.linkedin.com/jobs/view/3712345",
            "https://mastodon.social/explore",
            "https://bsky.app/search?q=rope",
            "https://www.tiktok.com/tag/bread",
            "https://www.facebook.com/events/1234567890",
        ],
        _ => return numbers(class, draws),
    };
    (*draws.pick(plain)).to_string()
}

fn numbers(class: &str, draws: &mut Draws) -> String {
    let template = match class {
        "parcel" => *draws.pick(&["1Z%##AA1%12345678#", "RR%########DE", "JJD0003########"]),
        "flight" => *draws.pick(&["LH %##", "AF1#%#", "EK%##/EK1##", "TK1%#"]),
        "barcode" => *draws.pick(&["40#########%#", "590%#########", "0 %12345 67890 %"]),
        "pages" => *draws.pick(&["1%#-1%#", "10-15-20", "1-3/4", "%.1-%.4"]),
        "result" => *draws.pick(&["3-0, 6-2", "4x100", "1:2%.45", "2:0%:5#", "11:%, 9:11, 11:%"]),
        "invoice" => *draws.pick(&["INV-2024-000%##", "2023-004-1%#", "4711-08%#", "A/%###/24"]),
        _ => *draws.pick(&["64,%##.50", "1.08%#", "3.500.000", "1.000.000,00", "12.5 x %.3 x 4.1"]),
    };
    digits::filled(template, draws)
}
