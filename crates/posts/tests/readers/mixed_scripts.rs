//! Languages of generated sentences with words of another script in them: the figures of docs/posts-rules.md.
//!
//! Each sentence of a language is written with every number of inserts from none to its slots, with and without
//! spaces where the script has none, and behind or before other inserts.

use stoa_posts::identify::identify;
use stoa_random::Draws;

/// Sentences with slots for what is inserted.
const SENTENCES: [(&str, [&str; 4]); 17] = [
    (
        "ja",
        [
            "昨日{}を買ったけど{}がまだ届かない",
            "{}で友達と話しながら{}を見てた",
            "この{}めっちゃいいね、{}よりすき",
            "{}のアップデートで{}が動かなくなった",
        ],
    ),
    (
        "zh",
        [
            "我昨天在{}上买了一个{}还没到",
            "用{}看视频的时候{}突然坏了",
            "这个{}真的很好用，比{}便宜多了",
            "大家都在用{}聊天，没人用{}了",
        ],
    ),
    (
        "ko",
        [
            "어제 {}에서 산 {} 아직 안 왔어요",
            "{} 보면서 친구랑 {} 얘기했다",
            "이 {} 진짜 좋네요 {}보다 좋아요",
            "{} 업데이트 후에 {} 안 열려요",
        ],
    ),
    (
        "th",
        [
            "เมื่อวานซื้อ{}มาแต่{}ยังไม่ถึงเลย",
            "คุยกับเพื่อนใน{}แล้วก็ดู{}ไปด้วย",
            "อัน{}นี้ดีมาก ดีกว่า{}เยอะเลย",
            "อัปเดต{}แล้ว{}เปิดไม่ได้",
        ],
    ),
    (
        "lo",
        ["ມື້ວານຊື້{}ແຕ່{}ຍັງບໍ່ມາຮອດ", "ລົມກັບໝູ່ໃນ{}ແລະເບິ່ງ{}ໄປນຳ", "ອັນ{}ນີ້ດີຫຼາຍ ດີກວ່າ{}", "ອັບເດດ{}ແລ້ວ{}ເປີດບໍ່ໄດ້"],
    ),
    (
        "km",
        [
            "ម្សិលមិញខ្ញុំទិញ{}តែ{}មិនទាន់មកដល់",
            "ខ្ញុំនិយាយក្នុង{}ហើយមើល{}ផង",
            "{}នេះល្អណាស់ ល្អជាង{}",
            "ក្រោយពីធ្វើ{}ហើយ{}បើកមិនបាន",
        ],
    ),
    (
        "my",
        [
            "မနေ့က{}ဝယ်ထားပေမယ့်{}မရောက်သေးဘူး",
            "သူငယ်ချင်းနဲ့{}မှာစကားပြောရင်း{}ကြည့်တယ်",
            "ဒီ{}ကအရမ်းကောင်းတယ် {}ထက်ကောင်းတယ်",
            "{}ပြီးတော့{}ဖွင့်လို့မရဘူး",
        ],
    ),
    (
        "ru",
        [
            "Вчера купил {}, но {} ещё не пришёл",
            "Болтали в {} и смотрели {} с друзьями",
            "Этот {} очень хороший, лучше чем {}",
            "После обновления {} перестал работать {}",
        ],
    ),
    (
        "uk",
        [
            "Учора купив {}, але {} ще не їде",
            "Говорили в {} і дивилися {} з друзями",
            "Цей {} дуже гарний, ліпший за {}",
            "Після оновлення {} більше не працює {}",
        ],
    ),
    (
        "bg",
        [
            "Вчера си купих {}, но {} още не е пристигнал",
            "Говорихме в {} и гледахме {} вкъщи",
            "Този {} е много добър, по-добър от {} и съм доволен",
            "След като обнових {}, вече не мога да отворя {} изобщо",
        ],
    ),
    (
        "ar",
        [
            "اشتريت {} أمس ولكن {} لم يصل بعد",
            "تحدثنا في {} وشاهدنا {} مع الأصدقاء",
            "هذا {} جيد جدا وأفضل من {} كثيرا",
            "بعد تحديث {} توقف {} عن العمل",
        ],
    ),
    (
        "fa",
        [
            "دیروز {} خریدم ولی {} هنوز نرسیده و نگرانم گفتم بپرسم",
            "با دوستان در {} گپ زدیم و {} دیدیم",
            "این {} خیلی خوب است و از {} بهتر است، پس بگیرید",
            "بعد از آپدیت {} دیگر {} باز نمی‌شود",
        ],
    ),
    (
        "ur",
        [
            "میں نے کل {} خریدا لیکن {} ابھی تک نہیں آیا",
            "دوستوں کے ساتھ {} پر بات کی اور {} دیکھا",
            "یہ {} بہت اچھا ہے، {} سے بھی اچھا",
            "اپڈیٹ کے بعد {} پر {} نہیں کھلتا",
        ],
    ),
    (
        "he",
        [
            "אתמול קניתי {} אבל {} עוד לא הגיע",
            "דיברנו ב {} וראינו {} עם חברים",
            "ה {} הזה ממש טוב, יותר מ {}",
            "אחרי העדכון של {} כבר לא נפתח {}",
        ],
    ),
    (
        "hi",
        [
            "मैंने कल {} खरीदा लेकिन {} अभी तक नहीं आया है",
            "दोस्तों के साथ {} पर बात की और {} देखा",
            "यह {} बहुत अच्छा है और {} से सस्ता भी",
            "अपडेट के बाद {} में {} नहीं खुल रहा",
        ],
    ),
    (
        "el",
        [
            "Χθες αγόρασα ένα {} αλλά το {} δεν ήρθε ακόμα",
            "Μιλούσαμε στο {} και βλέπαμε {} με φίλους",
            "Αυτό το {} είναι πολύ καλό, καλύτερο από {}",
            "Μετά την αναβάθμιση του {} δεν ανοίγει το {}",
        ],
    ),
    (
        "ka",
        [
            "გუშინ ვიყიდე {} მაგრამ {} ჯერ არ მოსულა",
            "მეგობრებთან {} ვისაუბრეთ და {} ვუყურეთ",
            "ეს {} ძალიან კარგია, {} სჯობს",
            "განახლების შემდეგ {} და {} აღარ იხსნება",
        ],
    ),
];

/// What stands in sentences of every script.
const INSERTS: [&str; 20] = [
    "iPhone",
    "MacBook Pro",
    "YouTube",
    "Netflix",
    "Nintendo Switch",
    "Google Maps",
    "LINE",
    "TikTok",
    "Instagram",
    "PS5",
    "Wi-Fi",
    "live",
    "update",
    "New York Times",
    "Android",
    "Bluetooth",
    "USB-C",
    "Apple Store",
    "podcast",
    "Adobe Premiere Pro",
];

/// Sentences in Latin letters that speak of a word of another script.
const LATIN: [(&str, [&str; 3]); 3] = [
    (
        "en",
        [
            "I learned the word {} today and I have to say that it is my favourite",
            "What is the meaning of {} and how do you say it with the right tone?",
            "They wrote {} on the wall of the house that was sold to you",
        ],
    ),
    (
        "fr",
        [
            "Je ne sais pas ce que veut dire {} mais les gens qui le disent sont gentils avec nous",
            "Il y a une affiche avec {} dans la rue et je la trouve belle pour vous",
            "Le mot {} est pas facile pour les enfants, vous le savez",
        ],
    ),
    (
        "de",
        [
            "Ich weiß nicht, was {} heißt, aber das ist mir auch egal, wir fragen einfach",
            "Auf dem Schild steht {} und der Mann kann es nicht lesen",
            "Das Wort {} ist schwer, und ich kann es nicht sagen",
        ],
    ),
];

const FOREIGN: [&str; 10] = [
    "木漏れ日",
    "ありがとう",
    "侘寂",
    "спасибо",
    "정말",
    "สวัสดี",
    "مرحبا",
    "שלום",
    "ευχαριστώ",
    "नमस्ते",
];

fn filled(form: &str, inserts: &[&str], draws: &mut Draws) -> String {
    let mut text = String::new();
    for (at, part) in form.split("{}").enumerate() {
        if at > 0 {
            let insert = draws.pick(inserts);
            text.push_str(insert);
        }
        text.push_str(part);
    }
    match draws.below(6) {
        0 => format!("{text} https://t.co/x{}", draws.below(100)),
        1 => format!("@ann {text} 😂"),
        2 => format!("{text} #{}", draws.pick(&INSERTS).replace(' ', "")),
        _ => text,
    }
}

/// Sentences of each language.
const DRAWN: usize = 200;

#[test]
fn sentences_with_words_of_another_script() {
    let mut draws = Draws::new(1, "mixed scripts");
    let latin = LATIN.iter().map(|(language, forms)| (*language, &forms[..], &FOREIGN[..]));
    let others = SENTENCES.iter().map(|(language, forms)| (*language, &forms[..], &INSERTS[..]));
    let (mut answers, mut rights) = (0, 0);
    for (language, forms, inserts) in others.chain(latin) {
        let (mut answered, mut right) = (0, 0);
        for _ in 0..DRAWN {
            let form = *draws.pick(forms);
            let text = filled(form, inserts, &mut draws);
            let found = identify(&text).language;
            answered += usize::from(found != "und");
            right += usize::from(found == language);
            assert_ne!(found, "la", "{text}");
        }
        println!("| {language} | {answered} | {right} |");
        assert!(answered * 10 >= DRAWN * 9, "{language}: {answered} answers");
        assert!(right * 100 >= answered * 98, "{language}: {right} of {answered}");
        answers += answered;
        rights += right;
    }
    println!("{rights} right of {answers} answers");
}
