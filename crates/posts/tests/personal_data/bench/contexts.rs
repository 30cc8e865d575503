//! Sentences by script in which something stands at `{}`: those that rules are written with.
//!
//! Scripts without spaces, and particles and prefixes that are written together with what they belong
//! to, touch `{}` directly in about half of their sentences.

/// A script in which people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// English, French, German, Spanish, Turkish, Polish, Vietnamese.
    Latin,
    /// Russian, Ukrainian, Bulgarian.
    Cyrillic,
    /// Arabic, Persian, Urdu.
    Arabic,
    /// Hebrew.
    Hebrew,
    /// Hindi, Marathi.
    Devanagari,
    /// Thai.
    Thai,
    /// Chinese.
    Han,
    /// Japanese.
    Kana,
    /// Korean.
    Hangul,
}

impl Script {
    /// Every script.
    pub const ALL: [Script; 9] = [
        Script::Latin,
        Script::Cyrillic,
        Script::Arabic,
        Script::Hebrew,
        Script::Devanagari,
        Script::Thai,
        Script::Han,
        Script::Kana,
        Script::Hangul,
    ];
}

/// Sentences of a script.
pub struct Contexts {
    /// They say nothing of what stands in them.
    pub any: &'static [&'static str],
    /// A phone number is announced.
    pub phone: &'static [&'static str],
    /// An address of a machine is announced.
    pub machine: &'static [&'static str],
    /// A version of a program, or a part of a text.
    pub version: &'static [&'static str],
}

/// The development sentences of a script.
pub fn contexts(script: Script) -> &'static [Contexts; 2] {
    match script {
        Script::Latin => &LATIN,
        Script::Cyrillic => &CYRILLIC,
        Script::Arabic => &ARABIC,
        Script::Hebrew => &HEBREW,
        Script::Devanagari => &DEVANAGARI,
        Script::Thai => &THAI,
        Script::Han => &HAN,
        Script::Kana => &KANA,
        Script::Hangul => &HANGUL,
    }
}

const LATIN: [Contexts; 2] = [
    Contexts {
        any: &[
            "I wrote {} on the back of the envelope.",
            "The note on the fridge was only {}, nothing else",
            "{} is what she left for us yesterday.",
            "On a trouvé « {} » dans le carnet bleu.",
            "Am Ende stand dort ({}), ohne jedes Wort dazu.",
            "Dejaron esto en la mesa: {}",
            "Masanın üstünde {} yazıyordu.",
        ],
        phone: &["My phone is {}, ring after six.", "Tel: {} (le soir)", "Ruf mich an, Handy {}."],
        machine: &[
            "Our server answers at {} again.",
            "ping {} gives nothing since noon",
            "Der Host {} ist wieder da.",
        ],
        version: &[
            "I updated the driver to {} and it works.",
            "Firefox {} crashes on every page here.",
            "Section {} of the standard says otherwise.",
            "La version {} est sortie hier soir.",
            "Seit Update {} startet das Programm nicht.",
        ],
    },
    Contexts {
        any: &[
            "Somebody left {} in the old guest book.",
            "All it says is \"{}\" and the rest is blank",
            "{} was painted on the wall of the harbour.",
            "Elle a noté {} sur sa main.",
            "Unten links steht {}; mehr weiß ich nicht.",
            "En la libreta pone {} y ya está.",
            "Na kartce było {} i tyle.",
        ],
        phone: &[
            "You can call {} about the boat.",
            "WhatsApp {} por favor",
            "Telefon: {}, po osiemnastej.",
        ],
        machine: &[
            "Someone logged in from the IP {} last night.",
            "L'adresse du serveur est {} maintenant.",
            "The DNS points to {} since Monday",
        ],
        version: &[
            "We downgraded to {} because of the printer.",
            "The patch {} fixes what the last one broke.",
            "See chapter {} for the proof.",
            "Mit Version {} läuft es endlich.",
            "LibreOffice {} no abre el archivo.",
        ],
    },
];

const CYRILLIC: [Contexts; 2] = [
    Contexts {
        any: &[
            "Я записал {} на обороте конверта.",
            "На двери висело: {}",
            "{} — вот и всё, что она оставила.",
            "В тетради было «{}» без подписи.",
            "Там просто стоит {}, и больше ничего",
            "На столі лежало {} і все.",
        ],
        phone: &["Мой телефон {}, звоните вечером.", "Тел.: {}", "Позвони мне на {} завтра"],
        machine: &["Наш сервер теперь на {} живёт.", "Адрес хоста {} не отвечает"],
        version: &[
            "Обновил драйвер до {} и всё работает.",
            "Версия {} вышла вчера.",
            "Пункт {} стандарта говорит другое.",
        ],
    },
    Contexts {
        any: &[
            "Кто-то оставил {} в гостевой книге.",
            "Внизу страницы ({}) и пустое место",
            "{} было написано на стене порта.",
            "На листке только {}; остальное стёрлось.",
            "Он показал мне {} и ушёл",
            "На лист пише {} и нищо друго.",
        ],
        phone: &["Звоните по номеру {} насчёт лодки.", "Мобильный {}", "Ватсап: {} пишите"],
        machine: &["Кто-то вошёл с IP {} этой ночью.", "Пинг до {} пропал"],
        version: &[
            "Откатились на версию {} из-за принтера.",
            "Патч {} чинит то, что сломал прошлый.",
            "Смотри раздел {} этой книги.",
        ],
    },
];

const ARABIC: [Contexts; 2] = [
    Contexts {
        any: &[
            "كتبت {} على ظهر الظرف.",
            "وجدنا في الدفتر: {}",
            "{} هو كل ما تركته لنا أمس.",
            "كان على الباب «{}» فقط",
            "روی میز نوشته بود {} و دیگر هیچ.",
            "میز پر {} لکھا تھا۔",
        ],
        phone: &["هاتفي {} بعد المغرب.", "جوال: {}", "شماره تلفن {} است."],
        machine: &["الخادم يعمل الآن على {} من جديد.", "سرور ما روی {} است."],
        version: &[
            "حدثت البرنامج إلى الإصدار {} أمس.",
            "نسخه {} دیروز منتشر شد.",
            "البند {} من المعيار يقول غير ذلك.",
        ],
    },
    Contexts {
        any: &[
            "ترك أحدهم {} في كتاب الزوار.",
            "في أسفل الصفحة ({}) ولا شيء بعده",
            "{} كانت على جدار الميناء.",
            "رأيت هذا، {}، على الطاولة",
            "پشت پاکت {} نوشته شده است.",
            "اس کاغذ پر صرف {} ہے۔",
        ],
        phone: &["اتصل على {} بخصوص القارب.", "واتساب {}", "با موبایل {} تماس بگیرید."],
        machine: &["دخل أحدهم من عنوان IP {} الليلة.", "آدرس سرور {} عوض شد."],
        version: &[
            "رجعنا إلى النسخة {} بسبب الطابعة.",
            "الفصل {} فيه البرهان.",
            "ورژن {} کل آیا تھا۔",
        ],
    },
];

const HEBREW: [Contexts; 2] = [
    Contexts {
        any: &[
            "כתבתי {} על גב המעטפה.",
            "על הדלת היה: {}",
            "{} זה כל מה שהיא השאירה.",
            "במחברת רשום \"{}\" בלי חתימה",
            "הפתק נגמר ב-{} ודי.",
            "מצאנו שם ({}) ולא יותר",
        ],
        phone: &["הטלפון שלי {} אחרי שש.", "נייד: {}", "תתקשרו ל-{} מחר"],
        machine: &["השרת שלנו עבר ל-{} אתמול.", "כתובת השרת {} לא עונה"],
        version: &[
            "עדכנתי את הדרייבר לגרסה {} והכול עובד.",
            "סעיף {} בתקן אומר אחרת.",
            "גרסה {} יצאה אתמול.",
        ],
    },
    Contexts {
        any: &[
            "מישהו השאיר {} בספר האורחים.",
            "בתחתית הדף {}, והשאר ריק",
            "{} היה כתוב על קיר הנמל.",
            "היא הראתה לי את {} והלכה.",
            "זה מתחיל ב-{} ואז כלום",
            "על השולחן: {}.",
        ],
        phone: &["אפשר לחייג {} בעניין הסירה.", "ווטסאפ {}", "מספר הטלפון: {}."],
        machine: &["מישהו נכנס מכתובת IP {} הלילה.", "פינג ל-{} לא חוזר"],
        version: &["חזרנו לגרסה {} בגלל המדפסת.", "ראו פרק {} להוכחה.", "עדכון {} מתקן את זה."],
    },
];

const DEVANAGARI: [Contexts; 2] = [
    Contexts {
        any: &[
            "मैंने लिफ़ाफ़े के पीछे {} लिखा।",
            "दरवाज़े पर लिखा था: {}",
            "{} ही उसने छोड़ा था।",
            "कॉपी में «{}» लिखा है",
            "वहाँ बस {}, और कुछ नहीं।",
            "टेबलावर {} लिहिले होते।",
        ],
        phone: &["मेरा फ़ोन {} है, शाम को।", "मोबाइल: {}", "मुझे {} पर कॉल करो।"],
        machine: &["हमारा सर्वर अब {} पर है।", "होस्ट {} जवाब नहीं देता"],
        version: &["मैंने ड्राइवर संस्करण {} लगाया।", "वर्जन {} कल आया।", "मानक की धारा {} कुछ और कहती है।"],
    },
    Contexts {
        any: &[
            "किसी ने किताब में {} छोड़ दिया।",
            "पन्ने के नीचे ({}) और बाक़ी ख़ाली",
            "{} बंदरगाह की दीवार पर था।",
            "उसने मुझे {} दिखाया और चली गई।",
            "काग़ज़ पर सिर्फ़ {}।",
            "हे पाहा: {}",
        ],
        phone: &["नाव के लिए {} पर फोन करें।", "व्हाट्सएप {}", "दूरभाष: {}।"],
        machine: &["रात को कोई आईपी {} से आया।", "सर्वर का पता {} बदल गया।"],
        version: &[
            "प्रिंटर के कारण संस्करण {} पर लौटे।",
            "प्रमाण अध्याय {} में है।",
            "अपडेट {} इसे ठीक करता है।",
        ],
    },
];

const THAI: [Contexts; 2] = [
    Contexts {
        any: &[
            "ฉันเขียน{}ไว้หลังซองจดหมาย",
            "บนประตูเขียนว่า {} เท่านั้น",
            "{}คือทั้งหมดที่เธอทิ้งไว้",
            "ในสมุดมี{}แค่นั้นเอง",
            "เจอ {} บนโต๊ะเมื่อวาน",
            "เขาให้ดู({})แล้วก็ไป",
        ],
        phone: &["โทร{}หลังหกโมงนะ", "เบอร์โทรศัพท์ {} ครับ", "มือถือผม{}ครับ"],
        machine: &["เซิร์ฟเวอร์อยู่ที่{}แล้ว", "โฮสต์ {} ไม่ตอบ"],
        version: &["อัปเดตไดรเวอร์เป็นเวอร์ชัน{}แล้ว", "รุ่น {} ออกเมื่อวาน", "ข้อ {} ของมาตรฐานบอกอีกอย่าง"],
    },
    Contexts {
        any: &[
            "มีคนทิ้ง{}ไว้ในสมุดเยี่ยม",
            "ท้ายหน้ามี {} แล้วก็ว่าง",
            "{}อยู่บนกำแพงท่าเรือ",
            "กระดาษแผ่นนั้นมีแต่{}ครับ",
            "เธอจด {} ไว้ที่มือ",
            "ดูนี่สิ:{}",
        ],
        phone: &["ติดต่อเรื่องเรือโทร{}ค่ะ", "วอทส์แอป {} ค่ะ", "เบอร์{}รับสายตลอด"],
        machine: &["มีคนเข้าจากไอพี{}เมื่อคืน", "ปิง {} ไม่ได้"],
        version: &["กลับไปใช้เวอร์ชั่น{}เพราะเครื่องพิมพ์", "ดูบทที่ {} สำหรับการพิสูจน์", "แพตช์{}แก้ปัญหาแล้ว"],
    },
];

const HAN: [Contexts; 2] = [
    Contexts {
        any: &[
            "我在信封背面写了{}。",
            "门上只有 {} 这几个字",
            "{}就是她留下的全部。",
            "本子里写着「{}」，没有别的",
            "桌上有{}，昨天发现的。",
            "他给我看了（{}）就走了",
        ],
        phone: &["我的电话是{}，六点以后打。", "手机：{}", "請致電 {} 查詢"],
        machine: &["我们的服务器在{}上。", "主机 {} 没有回应"],
        version: &["驱动更新到{}版本就好了。", "版本 {} 昨天发布。", "标准第{}节不是这样说的。"],
    },
    Contexts {
        any: &[
            "有人在留言簿里留下{}就走了。",
            "页面底部是 {} 然后空白",
            "{}写在码头的墙上。",
            "纸条上只有{}而已。",
            "她把{}抄在手上",
            "請看這個：{}。",
        ],
        phone: &["买船请拨打{}联系。", "微信同号 手机 {}", "聯絡電話{}。"],
        machine: &["昨晚有人从IP{}登录。", "服务器地址 {} 变了"],
        version: &["因为打印机退回到版本{}了。", "证明见第{}章。", "補丁 {} 修好了。"],
    },
];

const KANA: [Contexts; 2] = [
    Contexts {
        any: &[
            "封筒の裏に{}と書きました。",
            "ドアには {} だけありました",
            "{}が残されていたすべてです。",
            "ノートに「{}」とある",
            "きのう机で{}を見つけた。",
            "これ({})を見せて帰った",
        ],
        phone: &["電話は{}です。", "携帯：{}", "お問い合わせは電話 {} まで"],
        machine: &["サーバは{}です。", "ホスト {} が応答しない"],
        version: &[
            "ドライバをバージョン{}にしたら直った。",
            "バージョン {} が昨日でた。",
            "規格の第{}節には別のことが書いてある。",
        ],
    },
    Contexts {
        any: &[
            "だれかが芳名帳に{}をのこした。",
            "ページの下に {} があって、あとは空白",
            "{}と港のかべに書いてあった。",
            "メモには{}しかない。",
            "手に{}ってメモした",
            "これです：{}。",
        ],
        phone: &["船のことは{}にお電話ください。", "TEL {} まで", "ケータイの番号は{}だよ。"],
        machine: &["ゆうべIPアドレス{}からログインされた。", "サーバー {} に移転しました"],
        version: &[
            "プリンタのためVer.{}に戻した。",
            "証明は第{}章を見て。",
            "パッチ{}で直りました。",
        ],
    },
];

const HANGUL: [Contexts; 2] = [
    Contexts {
        any: &[
            "봉투 뒤에 {}라고 썼다.",
            "문에는 {} 하나뿐이었어요",
            "{}가 남긴 전부입니다.",
            "공책에 \"{}\"만 있다",
            "어제 책상에서 {}를 찾았다.",
            "이거({})를 보여주고 갔다",
        ],
        phone: &["제 전화는 {}입니다.", "휴대폰: {}", "연락처 {} 로 주세요"],
        machine: &["우리 서버는 {}에서 돌아갑니다.", "호스트 {} 응답 없음"],
        version: &[
            "드라이버를 버전 {}로 올렸더니 된다.",
            "버전 {}이 어제 나왔다.",
            "표준 제{}절은 다르게 말한다.",
        ],
    },
    Contexts {
        any: &[
            "누가 방명록에 {}를 남겼다.",
            "페이지 아래에 {} 그리고 빈칸",
            "{}이라고 항구 벽에 적혀 있었다.",
            "쪽지에는 {}밖에 없다.",
            "손에 {}을 적었어",
            "이것 보세요: {}.",
        ],
        phone: &["배 문의는 {}로 전화하세요.", "핸드폰 {}", "전화번호:{}입니다."],
        machine: &["어젯밤 아이피 {}에서 로그인했다.", "서버 주소 {} 변경"],
        version: &[
            "프린터 때문에 버전 {}으로 돌아갔다.",
            "증명은 제{}장을 보라.",
            "패치 {}에서 고쳐졌다.",
        ],
    },
];
