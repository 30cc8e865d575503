//! What looks like personal data and is none, in the forms that people write it in.

use super::contexts::Script;
use super::digits::{self, luhn_digit};
use super::formats::Place;
use stoa_random::Draws;

/// Every class of look-alikes, as the figures name it.
pub const CLASSES: [&str; 29] = [
    "version",
    "section",
    "time",
    "date",
    "price",
    "score",
    "verse",
    "order",
    "isbn",
    "card",
    "iban",
    "hash",
    "coordinates",
    "mathematics",
    "code path",
    "mac",
    "package",
    "decorator",
    "remote",
    "file",
    "private ip",
    "private ipv6",
    "post id",
    "years",
    "link",
    "short number",
    "ratio",
    "reference",
    "place",
];

/// One look-alike of a class, and where it may stand.
pub fn look_alike(class: &str, script: Script, draws: &mut Draws) -> (String, Place) {
    let text = match class {
        "version" => return (version(draws), Place::Version),
        "section" => {
            let mut part = || 1 + draws.below(12);
            let parts = [part(), part(), part(), part()].map(|part| part.to_string());
            return (parts.join("."), Place::Version);
        }
        _ => numbers(class, draws).unwrap_or_else(|| words(class, script, draws)),
    };
    let numeric = matches!(class, "time" | "date" | "price" | "verse" | "score" | "years");
    let own = numeric && draws.chance(1, 4);
    (if own { digits::localised(&text, script, draws) } else { text }, Place::Any)
}

/// Major, minor, patch and build as programs number themselves.
fn version(draws: &mut Draws) -> String {
    let (major, minor) = (draws.below(31), draws.below(20));
    match draws.below(6) {
        0 => {
            format!("{}.0.{}.{}", 90 + draws.below(50), 4000 + draws.below(2000), draws.below(200))
        }
        1 => format!("{major}.{minor}.{}.{}", draws.below(10), draws.below(400)),
        2 => format!("{major}.{minor}.0.{}", draws.below(200)),
        3 => format!("10.0.{}.{}", 10000 + draws.below(12000), draws.below(4000)),
        4 => format!("v{major}.{minor}.{}.{}", draws.below(10), draws.below(256)),
        _ => format!("{major}.{minor}.{}.{}", draws.below(30), draws.below(100)),
    }
}

fn numbers(class: &str, draws: &mut Draws) -> Option<String> {
    let choice = draws.below(6);
    let template = match class {
        "time" => {
            *draws.pick(&["1#:3#", "0#:4#:1#", "1#:00-2#:30", "09:1#:22.###", "1#h4#", "2#.15"])
        }
        "date" => *draws.pick(&[
            "20##-0%-1#",
            "1#/0%/20##",
            "0%.1#.19##",
            "20##/0%/2# 1#:5#",
            "20##-0%-1#T0#:3#:1#Z",
            "20##0%1#",
            "0%-1#-20## 1#:0#",
        ]),
        "price" => *draws.pick(&[
            "$1,%##.##",
            "%#,### €",
            "¥%##,###",
            "1 %## ###,## €",
            "₹%,##,###",
            "%###.## USD",
        ]),
        "score" => {
            *draws.pick(&["21-1#-17-1#", "%-1", "10%:9#", "6-4 7-6 6-%", "2#:25 25:1# 15:1#"])
        }
        "verse" => *draws.pick(&["%:1#-2#", "1#:%,%", "11%:10%", "1 %:1%–1#"]),
        "order" => *draws.pick(&[
            "11%-%######-%######",
            "SO-20##-####%",
            "#%%####",
            "A%########",
            "20%-#####-##-%",
        ]),
        "coordinates" => *draws.pick(&[
            "35.6%##, 139.7###",
            "-33.8%####,151.2####",
            "52°%#'1#.2\"N",
            "48.85%###/2.29####",
        ]),
        "mathematics" => *draws.pick(&[
            "3.14159265%#",
            "1.%##e-12",
            "2^32-%",
            "%×1#=##%",
            "f(x)=%x+1",
            "0.453914880343%##",
        ]),
        "post id" => *draws.pick(&[
            "18%####%#%########",
            "8775278504%0776961",
            "1548138%#####",
            "%####%####",
        ]),
        "years" => *draws.pick(&["1914-1918", "19%#–20##", "20##/2#", "19%0-19%5"]),
        "short number" => *draws.pick(&["112", "911", "1-800", "#%##", "15%#", "1 %00 ###"]),
        "ratio" => *draws.pick(&["1:%", "16:9", "1:2:3:%", "3/%", "4-4-2", "%#.#%#"]),
        "private ip" => {
            *draws.pick(&["192.168.%.1#", "10.%.0.1#", "127.0.0.1", "172.16.%.1#", "169.254.%.1#"])
        }
        "isbn" => return Some(isbn(choice, draws)),
        "card" => return Some(no_card(choice, draws)),
        "iban" => *draws.pick(&[
            "GB82 WEST 1234 5698 7654 3%",
            "AB12 3456 78%# 9012",
            "DE8937040044053201300%",
        ]),
        _ => return None,
    };
    let percent = template.replace("USD", "\u{0}");
    let drawn = digits::filled(&percent, draws).replace('\u{0}', "USD");
    Some(match class {
        // A digit drawn by chance may make the check digits right.
        "iban" if drawn.ends_with("32") || drawn.ends_with('0') => {
            "GB82 WEST 1234 5698 7654 33".to_string()
        }
        _ => drawn,
    })
}

fn isbn(choice: usize, draws: &mut Draws) -> String {
    match choice {
        0..4 => digits::filled("978-%-16-14841#-%", draws),
        4 => digits::filled("0-306-4061%-2", draws),
        _ => digits::filled("40%638133%931", draws),
    }
}

/// The digits of a card with a wrong check digit.
fn no_card(choice: usize, draws: &mut Draws) -> String {
    let number = digits::filled("4%##########%##", draws);
    let right = luhn_digit(&number).to_digit(10).expect("a digit");
    let whole = format!("{number}{}", (right + 1 + draws.below(9) as u32) % 10);
    match choice {
        0..2 => whole,
        2..4 => digits::grouped(&whole, &[4; 4], "-"),
        _ => digits::grouped(&whole, &[4; 4], " "),
    }
}

fn words(class: &str, script: Script, draws: &mut Draws) -> String {
    let hexadecimal = |length: usize, draws: &mut Draws| -> String {
        (0..length).map(|_| format!("{:x}", draws.below(16))).collect()
    };
    let plain: &[&str] = match class {
        "hash" => {
            return match draws.below(3) {
                0 => hexadecimal(40, draws),
                1 => hexadecimal(7, draws),
                _ => [8, 4, 4, 4, 12].map(|length| hexadecimal(length, draws)).join("-"),
            };
        }
        "mac" => {
            let join = *draws.pick(&[":", "-"]);
            return (0..6).map(|_| hexadecimal(2, draws)).collect::<Vec<_>>().join(join);
        }
        "code path" => &[
            "std::fs::read",
            "a::before",
            "crate::pii::find",
            "Foo::<Bar>::new()",
            "abc::def",
            "Vec::<u8>::with_capacity(64)",
            "::after",
            "std::vector<int>::begin",
        ],
        "package" => &[
            "@angular/core",
            "@types/node",
            "react@18.2.0",
            "@babel/preset-env@7.22.0",
            "numpy==1.26.4",
            "lodash@4.17.21",
            "com.example.app",
            "python3.11-venv",
        ],
        "decorator" => &[
            "@property",
            "@Override",
            "@media (max-width: 600px)",
            "@dataclass",
            "@app.route(\"/\")",
            "@staticmethod",
            "@import url(a.css)",
            "@pytest.fixture",
        ],
        "remote" => &[
            "git@github.com:stoa/stoa.git",
            "3 @ $5",
            "logo@2x.png",
            "x @ y",
            "@ 17:30",
            "git@gitlab.com:a/b.git",
        ],
        "place" if script == Script::Kana => {
            &["ライブ@渋谷", "打合せ@会議室", "@新宿", "飲み会@駅前"]
        }
        "place" => &[
            "lunch @ noon",
            "coffee (at) the corner",
            "look at example dot com",
            "array[at]",
            "x [at] home",
            "(at) 17:30",
        ],
        "file" => &[
            "report_2023-05-06.pdf",
            "IMG_20230506_101112.jpg",
            "v2.3.4.5-final.zip",
            "linux-5.15.0.91.tar.gz",
            "photo-0412.png",
            "data.2024.06.csv",
        ],
        "private ipv6" => &["::1", "fe80::1", "fd12:3456:789a::1", "2001:db8::42", "ff02::fb"],
        "link" => &[
            "https://example.org/2023/05/06/123-456-7890",
            "https://news.example.com/a/b?id=2025550123",
            "example.com/path",
            "https://en.wikipedia.org/wiki/Rope",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
            "https://x.com/search?q=rope",
            "https://t.co/AbC123",
            "https://github.com/rust-lang/rust/issues/123",
        ],
        _ => &[
            "RFC 2616",
            "ISO 8601-1:2019",
            "§ 12(3)",
            "DOI 10.1000/182",
            "w/o 24/7",
            "CVE-2024-12345",
            "KB5034441",
            "r/bread",
            "cpu/gpu",
            "A4-12-0034-5678",
        ],
    };
    (*draws.pick(plain)).to_string()
}
