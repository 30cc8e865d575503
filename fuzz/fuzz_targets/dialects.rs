//! Tables of every dialect, given and found, in every encoding; and times of every order.

#![no_main]

use stoa_fuzz::{DateOrder, Quote, ReadOptions, TableOptions, read_with};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let pick = usize::from(choice);
    let quotes = Quote::ALL.map(|(_, quote)| Some(quote));
    let table = TableOptions {
        quote: [None, quotes[0], quotes[1], quotes[2]][pick % 4],
        delimiter: [None, Some(b'\t'), Some(b';')][pick / 4 % 3],
        no_header: pick / 12 % 2 == 1,
    };
    let encoding = [None, Some("shift_jis"), Some("utf-16le")][pick / 24 % 3];
    let options = ReadOptions {
        table,
        dates: DateOrder::ALL[pick / 72 % 4].1,
        encoding: encoding.map(str::to_string),
        map: if table.no_header { vec![("text".into(), "2".into())] } else { Vec::new() },
        // Rows over several lines meet it.
        record_limit_bytes: 4096,
        ..ReadOptions::default()
    };
    read_with("posts.csv", data, &options);
});
