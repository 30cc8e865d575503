//! What is found, what is left alone, and that no text panics. All numbers are invented or those of
//! standards' examples.

use super::*;
use proptest::prelude::*;

#[test]
fn finds_what_identifies_a_person() {
    for (text, expected) in [
        ("write to ann.b+posts@example.org.", "write to [email]."),
        ("A@B.co, or c_d@mail.example.co.uk!", "[email], or [email]!"),
        ("call 202-555-0123 now", "call [phone] now"),
        ("(202) 555-0123", "[phone]"),
        ("Call me: 2025550123", "Call me: [phone]"),
        ("+1 202 555 0123 or +33 6 12 34 56 78", "[phone] or [phone]"),
        ("appelez le 06 12 34 56 78 ce soir", "appelez le [phone] ce soir"),
        ("06.12.34.56.78", "[phone]"),
        ("Tel. 030 901820", "Tel. [phone]"),
        ("London 020 7946 0958.", "London [phone]."),
        ("+49 (0)30 901820", "[phone]"),
        ("from 8.8.8.8 today", "from [ip] today"),
        ("2607:f8b0:4005:805::200e is it", "[ip] is it"),
        ("pay to GB82 WEST 1234 5698 7654 32 please", "pay to [iban] please"),
        ("DE89370400440532013000", "[iban]"),
        ("card 4111 1111 1111 1111 12/30", "card [card] 12/30"),
        ("378282246310005", "[card]"),
        ("SSN 078-05-1120 was printed", "SSN [id] was printed"),
        ("my social is 219 09 9999", "my social is [id]"),
        // Borders that are no spaces, digits and signs of other scripts.
        ("番号は03-1234-5678です", "番号は[phone]です"),
        ("口座DE89 3704 0044 0532 0130 00へ", "口座[iban]へ"),
        ("서버 1.2.3.4에서", "서버 [ip]에서"),
        ("บัตร๔๑๑๑ ๑๑๑๑ ๑๑๑๑ ๑๑๑๑ค่ะ", "บัตร[card]ค่ะ"),
        ("０９０ー１２３４ー５６７８で", "[phone]で"),
        ("\u{200f}+972 54-123-4567\u{200f} בערב", "\u{200f}[phone]\u{200f} בערב"),
        ("رقم الجوال ٠٥٠١٢٣٤٥٦٧", "رقم الجوال [phone]"),
        ("ｍａｒａ＠ｅｘａｍｐｌｅ．ｏｒｇまで", "[email]まで"),
        // Whole local parts.
        ("to mara.o'neill@example.com and jö@example.de", "to [email] and [email]"),
        ("\"mara baker\"@example.org, иван@пример.рф.", "[email], [email]."),
        ("メールはmara@bakers.example.orgまで", "メールは[email]まで"),
        // Whole handles, one placeholder each.
        ("@ann@example.social says hi @bob", "[handle] says hi [handle]"),
        ("@mara.bakers.example, @jane-doe.example.net.", "[handle], [handle]."),
        ("thanks u/bread_and-tea and /u/Olek!", "thanks [handle] and [handle]!"),
        ("谢谢@mara_bさん", "谢谢[handle]さん"),
        ("ask @u/mara_b and @ann/u/olek", "ask [handle] and [handle]/u/olek"),
        ("@2025550123 and x2025550123", "[handle] and x2025550123"),
        ("with @4H, @92Y and @@crew", "with [handle], [handle] and @[handle]"),
        // Addresses with a user.
        ("see https://ann:secret@example.org/a?b=c.", "see [link]."),
        ("(t.me/ann_b) or https://www.linkedin.com/in/ann-b/", "([link]) or [link]"),
        ("ann-b.bsky.social and https://ann.tumblr.com/post/1", "[link] and [link]"),
        ("https://x.com/ann/status/877527850420776961 now", "[link] now"),
        ("ดู:2607:f8b0:4005:805::200e และ:u/mara_b", "ดู:[ip] และ:[handle]"),
        ("从IP8.8.4.4登录, TEL03-1234-5678", "从IP[ip]登录, TEL[phone]"),
        ("to o’neill@example.com", "to [email]"),
        ("http://185.199.108.153:8080/ is up", "http://[ip]/ is up"),
        // The number of a line in a list is no part of what stands in the line.
        ("1) flour\n2) 030 901820\n3) salt", "1) flour\n2) [phone]\n3) salt"),
        ("1）面粉\n2）4111-1111-1111-1111", "1）面粉\n2）[card]"),
        ("12. 4111 1111 1111 1111", "12. [card]"),
        ("02) 600-1234", "[phone]"),
        // Signs of an address that are spelled out.
        ("ann [at] example [dot] org, please", "[email], please"),
        ("ann.b(at)mail.example.co.uk!", "[email]!"),
        ("写信给 ann_b［at］example.org。", "写信给 [email]。"),
        ("ann [at] example dot org.", "[email]."),
        ("ANN AT EXAMPLE DOT ORG or bea{arroba}example(punto)com", "[email] or [email]"),
        // A local part may begin with an underscore, which may also be emphasis.
        ("to _ann_b@example.org or _bea@example.org_", "to [email] or _[email]_"),
        // One or two letters of Hebrew or Arabic before a handle are a prefix of the sentence.
        ("זה מ@ann-b.com ול@bea.example.net", "זה מ[handle] ול[handle]"),
        ("דנה@example.org כתבה", "[email] כתבה"),
        // Networks and what stands after them.
        ("2607:f8b0:4005:805::/64, 2607:f8b0:4005:805::!", "[ip], [ip]!"),
        ("from 2607:f8b0:4005:805::200e/128: yes", "from [ip]: yes"),
        // A parenthesis that opens behind a link is none of it.
        ("https://t.me/ann_b（毎日）と t.me/bea（朝）", "[link]（毎日）と [link]（朝）"),
        // Numbers before a number.
        ("2/5 (010) 6470-1367（还在）", "2/5 [phone]（还在）"),
        ("2/5 0049 30 928157", "2/5 [phone]"),
        ("2/5 @ann.bsky.social（毎日）", "2/5 [handle]（毎日）"),
        ("0755-87774556, 1) (020) 7946 0958", "[phone], 1) [phone]"),
        // Eight digits where they are announced, abbreviations of the word.
        ("전화 1588-2277, tel. 22 33 44 55", "전화 [phone], tel. [phone]"),
        ("טל' 0541871023 אחרי שש", "טל' [phone] אחרי שש"),
        ("मो. 9708424832; でんわ：08096767824", "मो. [phone]; でんわ：[phone]"),
        ("发短信到15904436789，رابطہ 0501197407", "发短信到[phone]，رابطہ [phone]"),
        // Keys before numbers, and a word that ends before an address.
        ("SSN#219-18-4574, SSN=078-05-1120", "SSN#[id], SSN=[id]"),
        ("tel=202-555-0123 src=139.184.13.187", "tel=[phone] src=[ip]"),
        ("IPv6:2607:f8b0:4005:805::200e IPv4:8.8.8.8", "IPv6:[ip] IPv4:[ip]"),
        ("eth0:185.199.108.153 up", "eth0:[ip] up"),
        // Cards of countries, with up to 19 digits.
        ("2200 7459 1226 5927, 9792 4395 6929 0359", "[card], [card]"),
        ("6759-4991-0290-4111 или 6037 1439 6780 5419", "[card] или [card]"),
        ("6217 0068 3327 5834 796", "[card]"),
        ("622848 2217006833279 或 6228482217006833279", "[card] 或 [card]"),
        (
            "@ann fun (really), @bea public class today",
            "[handle] fun (really), [handle] public class today",
        ),
        // Words for `@` in more languages, brackets of East Asia.
        ("lin(эт)example.cz, jiwoo(골뱅이)example.kr", "[email], [email]"),
        ("anong【アット】example.jp anong (แอท) example (จุด) com", "[email] [email]"),
        ("זה ש-1080868766@example.cn עובד", "זה ש-[email] עובד"),
        // Words for a phone behind the number, and in more languages.
        ("612 34 61 12 is my cell", "[phone] is my cell"),
        ("شماره همراه من ۰۵۰۱۱۸۷۱۰۶ هست", "شماره همراه من [phone] هست"),
        ("संपर्क नंबर: 09871804483", "संपर्क नंबर: [phone]"),
        ("連絡先：09046804706（大森）", "連絡先：[phone]（大森）"),
        // Links of networks, and the end of a sentence behind a slash.
        ("https://www.pinterest.com/ann_b/. ok", "[link]. ok"),
        ("https://line.me/ti/p/~annb https://ann.tistory.com/12", "[link] [link]"),
        ("https://habr.com/ru/users/annb/", "[link]"),
        (
            "https://stackoverflow.com/users/6343900/annb と https://qiita.com/annb",
            "[link] と [link]",
        ),
        // Names in Han, as Weibo reads them.
        ("回复@张三丰: 好的 //@李四_2号：看", "回复[handle]: 好的 //[handle]：看"),
        ("@王小明 @面包店 早", "[handle] [handle] 早"),
    ] {
        assert_eq!(replace(text), expected, "{text}");
    }
}

#[test]
fn leaves_alone_what_only_looks_like_it() {
    for text in [
        "status 877527850420776961",
        "https://twitter.com/i/status/877527850420776961?b=202-555-0123",
        "https://example.org/a/877527850420776961?b=202-555-0123&c=1.2.30.140",
        "https://github.com/rust-lang/rust/issues/1, https://x.com/search?q=a",
        "on 2017-06-21 and 21/06/2017, 06.12.2017",
        "$2,025,550,123 or 2025550123",
        "7 8 9 10 11 12 13 14",
        "10.0.0.1, 192.168.1.1, 127.0.0.1 and version 1.2.3.4",
        "12:30:45 and std::fs::read",
        "GB82 WEST 1234 5698 7654 33",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "@property, @media (a), @types/node, logo@2x.png, git@github.com:a/b.git",
        "rounds u/min, 3 @ $5, w/o, r/bread, cpu/gpu",
        "see you @5pm or @18h, icon @2x, a@@b",
        "kernel 5.15.0.91, .NET 8.0.101.2, Photoshop 22.4.3.31, Section 3.2.1.4, linux-5.15.0.191.tar.gz",
        "версия 185.199.108.153, バージョン185.199.108.153",
        "21-19-17-15 on 05-06-2024 10:30, 000-12-3456, 666-12-3456",
        "a@b is no address, nor name@file.tar2",
        "#2025550123 x2025550123 А2025550123",
        "1,234.56 3.14159265358979",
        "ISBN 978-3-16-148410-0",
        "112 and 911 and 1-800",
        "the score was 21-14 28-3",
        "look at example dot com, lunch (at) the corner. ok, array[at] x.org1",
        "see f(at), ann [at] home, MEET AT NOON DOT",
        "ライブ@渋谷 と @新宿で, 3@北",
        "call about 1914-1918",
        "1588-2277 and 22 33 44 55 pieces",
        "4823 0038 0382 9779",
        "a==185.199.108.153 f(x)=3 x==202-555-0123 #202-555-0123",
        "std::add::1:2:3 dead:beef",
        "9792 4395 6929 0358 and 6217006833275834797",
        "EC 1.1.1.1, КФ 1.1.1.1",
        "@_@ (＠_＠;) >:@ @__",
        "SELECT @@VERSION, @@ROWCOUNT",
        "@State private var n = 0 and @Tiny fun a() {",
        "@Entity public class Foo { and @Cold public static void a()",
        "@include flex @foreach ($a as $b) @tailwind base",
        "https://stackoverflow.com/questions/11227809/why https://qiita.com/tags/rope",
        "@NotNull @BeforeEach void _@example.org std::vector::",
        "",
    ] {
        assert_eq!(replace(text), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_text_panics_and_findings_are_in_order(
        text in "\\PC{0,60}|[0-9+() ./:@a-fGB日٣๔ー０-]{0,60}|(call |\\+33 ?|GB82|4111 ?|@|\\.com|::|u/|ann|t\\.me/|//|電話|[0-9]{1,4}[ -]?){0,14}"
    ) {
        let mut end = 0;
        for finding in find(&text) {
            prop_assert!(finding.range.start >= end && finding.range.end > finding.range.start);
            end = finding.range.end;
            prop_assert!(text.get(finding.range).is_some());
        }
        // The ASCII form made letter by letter finds the same.
        prop_assert_eq!(find(&text), find_in(&Plain::changed(&text)));
        // What was replaced is not found again.
        let once = replace(&text).into_owned();
        for finding in find(&once) {
            prop_assert!(!once[finding.range].contains('['));
        }
    }

    #[test]
    fn handles_are_in_order_without_overlaps(text in "[@u/a-c.张 -]{0,24}") {
        let mut end = 0;
        for account in handles(&text) {
            prop_assert!(account.range.start >= end && account.range.end > account.range.start);
            end = account.range.end;
            prop_assert!(text.get(account.range).is_some());
        }
    }
}
