//! A moment, as it is written into files and their names.

use std::time::SystemTime;

/// As in `2026-11-24T10:19:01Z`.
pub fn timestamp(moment: SystemTime) -> String {
    // `Tue, 24 Nov 2026 10:19:01 GMT`: the parts are there, and their places never differ.
    let text = httpdate::fmt_http_date(moment);
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(&text[8..11]).map_or(1, |at| at / 3 + 1);
    format!("{}-{month:02}-{}T{}Z", &text[12..16], &text[5..7], &text[17..25])
}

/// The same for a file's name, as in `20261124T101901Z`.
pub fn name(moment: SystemTime) -> String {
    timestamp(moment).replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        let moment = UNIX_EPOCH + Duration::from_secs(951_827_696);
        assert_eq!(timestamp(moment), "2000-02-29T12:34:56Z");
        assert_eq!(name(moment), "20000229T123456Z");
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
