//! Words beside a number that say what it is, in the languages of posts: tables, and how they are looked up.
//!
//! Words of scripts with case are compared whole, those that end in `*` by their beginning; words of
//! other scripts, which take prefixes and particles or know no spaces, are looked for as they are.

/// Words of one meaning.
pub(super) struct Words {
    /// In scripts with case, in lower case.
    cased: &'static [&'static str],
    /// In scripts without.
    uncased: &'static [&'static str],
    /// How many words with case after a number are looked at.
    after: usize,
}

/// The farthest that a word of a script without case may stand from a number, in letters.
const NEAR_LETTERS: usize = 16;
/// How many words with case before a number are looked at.
const WORDS_BEFORE: usize = 4;

impl Words {
    /// How many letters before the end of `before` the last of the words ends.
    pub(super) fn before(&self, before: &str) -> Option<usize> {
        let start = before.char_indices().rev().take(3 * NEAR_LETTERS).last();
        let window = before[start.map_or(0, |(at, _)| at)..].to_lowercase();
        let letters_after = |end: usize| window[end..].chars().count();
        let cased = cased_words(&window).rev().take(WORDS_BEFORE);
        let cased = cased.filter(|(_, word)| self.has(word));
        let cased = cased.map(|(at, word)| letters_after(at + word.len()));
        let uncased = self.uncased.iter().filter(|_| !window.is_ascii());
        let uncased = uncased.filter_map(|word| {
            let letters = letters_after(window.rfind(word)? + word.len());
            (letters <= reach(word)).then_some(letters)
        });
        cased.chain(uncased).min()
    }

    /// How many letters after the start of `after` the first of the words begins.
    pub(super) fn after(&self, after: &str) -> Option<usize> {
        let end = after.char_indices().nth(NEAR_LETTERS).map_or(after.len(), |(at, _)| at);
        let window = after[..end].to_lowercase();
        let letters_before = |start: usize| window[..start].chars().count();
        let cased = cased_words(&window).take(self.after);
        let cased = cased.filter(|(_, word)| self.has(word));
        let cased = cased.map(|(at, _)| letters_before(at));
        let uncased = self.uncased.iter().filter(|_| !window.is_ascii());
        let uncased = uncased.filter_map(|word| {
            let letters = letters_before(window.find(word)?);
            (letters <= reach(word)).then_some(letters)
        });
        cased.chain(uncased).min()
    }

    fn has(&self, word: &str) -> bool {
        self.cased.iter().any(|known| match known.strip_suffix('*') {
            Some(stem) => word.starts_with(stem),
            None => *known == word,
        })
    }
}

/// How far from a number a word of a script without case may stand, in letters: the shorter it is, the
/// more often it is part of another.
fn reach(word: &str) -> usize {
    match word.chars().count() {
        1 => 1,
        2 => NEAR_LETTERS / 2,
        _ => NEAR_LETTERS,
    }
}

/// Runs of letters with case, with their places. Anything else ends them.
fn cased_words(text: &str) -> impl DoubleEndedIterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split(|letter: char| !letter.is_lowercase())
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - start, word))
}

/// A phone number.
pub(super) const PHONE: Words = Words {
    cased: &[
        "tel",
        "tél",
        "tlf",
        "phone",
        "telephone",
        "téléphone",
        "telefon*",
        "teléfono",
        "telefone",
        "telefono",
        "telefoon",
        "call",
        "text",
        "sms",
        "whatsapp",
        "viber",
        "mobile",
        "mobil",
        "móvil",
        "cell",
        "celular",
        "handy",
        "portable",
        "fax",
        "appelez",
        "appeler",
        "llama",
        "llame",
        "llám*",
        "ligue",
        "anruf*",
        "rufe",
        "ruf",
        "hotline",
        "dial",
        "komórka",
        "zadzwoń",
        "dzwoń",
        "numara*",
        "ara",
        "cep",
        "gsm",
        "telp",
        "hubungi",
        "joignable",
        "chiama*",
        "zavol*",
        "iletişim",
        "gọi",
        "thoại",
        "тел",
        "телефон*",
        "моб",
        "мобил*",
        "мобіл*",
        "звон*",
        "позвон*",
        "подзвон*",
        "зателефон*",
        "обади*",
        "дзвон*",
        "набер*",
        "вотсап*",
        "ватсап*",
        "вайбер*",
        "факс",
        "смс",
        "номер*",
        "тэл",
        "тэлефон*",
        "зовит*",
    ],
    uncased: &[
        "هاتف",
        "جوال",
        "موبايل",
        "واتس",
        "اتصل",
        "تلفن",
        "موبایل",
        "تماس",
        "فون",
        "رابطہ",
        "همراه",
        "زنگ",
        "محمول",
        "تليفون",
        "تلفون",
        "کال کر",
        "טלפון",
        "טל'",
        "טל׳",
        "טל\"",
        "סלולרי",
        "נייד",
        "פלאפון",
        "ווטסאפ",
        "וואטסאפ",
        "חייג",
        "לסמס",
        "סמס",
        "התקשר",
        "תתקשר",
        "फ़ोन",
        "फोन",
        "मोबाइल",
        "व्हाट्स",
        "व्हॉट्स",
        "मोबाईल",
        "संपर्क",
        "सम्पर्क",
        "वॉट्स",
        "कॉल",
        "दूरभाष",
        "मो.",
        "मो॰",
        "टेली",
        "โทร",
        "เบอร์",
        "มือถือ",
        "วอทส์แอป",
        "ติดต่อ",
        "电话",
        "電話",
        "手机",
        "手機",
        "致电",
        "致電",
        "拨打",
        "撥打",
        "热线",
        "熱線",
        "短信",
        "簡訊",
        "短訊",
        "聯絡",
        "联系",
        "聯繫",
        "来电",
        "來電",
        "連絡先",
        "携帯",
        "ケータイ",
        "スマホ",
        "でんわ",
        "デンワ",
        "전화",
        "휴대폰",
        "핸드폰",
        "연락처",
        "휴대전화",
        "ໂທ",
        "ទូរស័ព្ទ",
        "လေး",
        "ဖုန်း",
    ],
    // `… is my cell`.
    after: 3,
};

/// A version of a program, or a part of a text.
pub(super) const VERSION: Words = Words {
    cased: &[
        "v",
        "ver",
        "vers",
        "version*",
        "versión",
        "versões",
        "versão",
        "versione",
        "versie",
        "wersj*",
        "verze",
        "sürüm*",
        "release*",
        "firmware",
        "build",
        "driver*",
        "update*",
        "upgrade*",
        "patch*",
        "kernel",
        "section*",
        "sect",
        "sec",
        "chapter*",
        "chap",
        "clause",
        "article",
        "art",
        "paragraph*",
        "appendix",
        "annex",
        "kapitel",
        "abschnitt",
        "absatz",
        "chapitre",
        "capítulo",
        "sección",
        "artículo",
        "apartado",
        "secção",
        "seção",
        "capitolo",
        "sezione",
        "hoofdstuk",
        "artikel",
        "rozdział*",
        "punkt*",
        "bölüm",
        "madde",
        "chương",
        "верси*",
        "версі*",
        "релиз*",
        "сборк*",
        "прошивк*",
        "обновлени*",
        "оновлен*",
        "патч*",
        "раздел*",
        "розділ*",
        "глав*",
        "пункт*",
        "статья",
        "параграф*",
    ],
    uncased: &[
        "إصدار",
        "اصدار",
        "نسخة",
        "النسخ",
        "نسخه",
        "تحديث",
        "فصل",
        "قسم",
        "بند",
        "ورژن",
        "بخش",
        "גרסה",
        "גרסת",
        "גירסה",
        "עדכון",
        "פרק",
        "סעיף",
        "संस्करण",
        "वर्जन",
        "वर्ज़न",
        "अपडेट",
        "अध्याय",
        "धारा",
        "अनुभाग",
        "เวอร์ชัน",
        "เวอร์ชั่น",
        "รุ่น",
        "อัปเดต",
        "อัพเดต",
        "แพตช์",
        "บทที่",
        "ข้อ",
        "版",
        "更新",
        "補丁",
        "补丁",
        "第",
        "升级",
        "バージョン",
        "ヴァージョン",
        "アップデート",
        "パッチ",
        "버전",
        "업데이트",
        "패치",
        "제",
    ],
    after: 2,
};

/// A machine on a network.
pub(super) const MACHINE: Words = Words {
    cased: &[
        "ip",
        "ipv",
        "ips",
        "server*",
        "host*",
        "address*",
        "addr",
        "ping*",
        "dns",
        "gateway",
        "router",
        "proxy",
        "vpn",
        "login",
        "logged",
        "ssh",
        "serveur*",
        "adresse*",
        "hôte",
        "servidor*",
        "dirección",
        "endereço",
        "serwer*",
        "adres*",
        "sunucu*",
        "indirizzo",
        "сервер*",
        "адрес*",
        "хост*",
        "айпи",
        "пинг*",
        "шлюз*",
    ],
    uncased: &[
        "خادم",
        "الخادم",
        "سيرفر",
        "سرور",
        "عنوان",
        "آدرس",
        "שרת",
        "כתובת",
        "פינג",
        "मशीन",
        "सर्वर",
        "होस्ट",
        "आईपी",
        "पता",
        "เซิร์ฟเวอร์",
        "โฮสต์",
        "ไอพี",
        "ปิง",
        "サーバ",
        "ホスト",
        "アドレス",
        "服务器",
        "伺服器",
        "主机",
        "主機",
        "地址",
        "서버",
        "호스트",
        "주소",
        "아이피",
    ],
    after: 2,
};

/// A social security number.
pub(super) const NATIONAL_ID: Words =
    Words {
        cased: &["ssn", "ssns", "social"], uncased: &["社会保障", "社會安全"], after: 2
    };
