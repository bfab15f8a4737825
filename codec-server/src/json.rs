//! Payloads as JSON, in the form that Protocol Buffers define for `temporal.api.common.v1.Payloads`:
//! `{"payloads": [{"metadata": {"encoding": "<base64>"}, "data": "<base64>"}]}`.
//!
//! Read by hand, because errors must not quote what could not be read, and the number of payloads has a limit.

use std::{collections::HashMap, fmt, marker::PhantomData};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use codec_kit::Payload;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::error::Category;

use crate::refusal::{Kind, Refusal};

/// The most payloads in one request. A small payload takes some hundred bytes of memory and only three of a
/// body, so a limit for the body does not limit the memory.
pub const MOST_PAYLOADS: usize = 16_384;

/// A writer of JSON may use either alphabet, with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The payloads of a body.
///
/// # Errors
/// When it is not of this form, or holds more than [`MOST_PAYLOADS`]. The reason says where, and quotes
/// nothing.
pub fn read(body: &[u8]) -> Result<Vec<Payload>, Refusal> {
    let read: PayloadsIn = serde_json::from_slice(body).map_err(|error| not_payloads(&error))?;
    let payloads = read.payloads.unwrap_or_default().all()?;
    payloads.into_iter().map(PayloadIn::into_payload).collect()
}

/// serde's own message would quote the body.
fn not_payloads(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        Category::Data => "JSON of another form",
        Category::Syntax => "not JSON",
        Category::Eof => "JSON that is cut off",
        Category::Io => "unreadable",
    };
    let (line, column) = (error.line(), error.column());
    Refusal::new(Kind::NotPayloads, format!("the body is {what} (line {line}, column {column})"))
}

/// The JSON of these payloads.
pub fn write(payloads: &[Payload]) -> Vec<u8> {
    let payloads = payloads.iter().map(PayloadOut::from).collect();
    serde_json::to_vec(&PayloadsOut { payloads }).expect("strings and numbers have a form in JSON")
}

// A field that is unknown here is an error: without it, what comes back would not be what was sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadsIn {
    payloads: Option<Sequence<PayloadIn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayloadIn {
    metadata: Option<HashMap<String, Bytes>>,
    data: Option<Bytes>,
    #[serde(rename = "externalPayloads", alias = "external_payloads")]
    external: Option<Sequence<ExternalIn>>,
}

/// Where external storage keeps a payload, this is what is known about it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExternalIn {
    #[serde(rename = "sizeBytes", alias = "size_bytes")]
    size: Option<Size>,
}

impl PayloadIn {
    fn into_payload(self) -> Result<Payload, Refusal> {
        let metadata = self.metadata.unwrap_or_default().into_iter();
        let external = self.external.unwrap_or_default().all()?;
        let mut payload = Payload {
            metadata: metadata.map(|(name, value)| (name, value.0)).collect(),
            data: self.data.map(|data| data.0).unwrap_or_default(),
            ..Payload::default()
        };
        payload.external_payloads.resize_with(external.len(), Default::default);
        for (details, ExternalIn { size }) in payload.external_payloads.iter_mut().zip(external) {
            details.size_bytes = size.map(|size| size.0).unwrap_or_default();
        }
        Ok(payload)
    }
}

#[derive(Serialize)]
struct PayloadsOut<'a> {
    payloads: Vec<PayloadOut<'a>>,
}

/// Refers to a payload: nothing is copied but its base64.
#[derive(Serialize)]
struct PayloadOut<'a> {
    #[serde(skip_serializing_if = "HashMap::is_empty", serialize_with = "metadata_out")]
    metadata: &'a HashMap<String, Vec<u8>>,
    #[serde(skip_serializing_if = "BytesOut::is_empty")]
    data: BytesOut<'a>,
    #[serde(rename = "externalPayloads", skip_serializing_if = "Vec::is_empty")]
    external: Vec<ExternalOut>,
}

fn metadata_out<S: Serializer>(
    metadata: &HashMap<String, Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metadata.iter().map(|(name, value)| (name, BytesOut(value))))
}

#[derive(Serialize)]
struct ExternalOut {
    /// 64-bit integers are strings: a JavaScript number can't hold them. 0 is not written.
    #[serde(rename = "sizeBytes", skip_serializing_if = "Option::is_none")]
    size: Option<String>,
}

impl<'a> From<&'a Payload> for PayloadOut<'a> {
    fn from(payload: &'a Payload) -> Self {
        let external = payload.external_payloads.iter();
        Self {
            metadata: &payload.metadata,
            data: BytesOut(&payload.data),
            external: external
                .map(|details| ExternalOut {
                    size: (details.size_bytes != 0).then(|| details.size_bytes.to_string()),
                })
                .collect(),
        }
    }
}

struct BytesOut<'a>(&'a [u8]);

impl BytesOut<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for BytesOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

/// Bytes from base64; `null` is no bytes.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &PLAIN };
                engine.decode(text).map(Bytes).map_err(E::custom)
            }

            fn visit_unit<E: Error>(self) -> Result<Bytes, E> {
                Ok(Bytes(Vec::new()))
            }
        }

        deserializer.deserialize_any(Base64)
    }
}

/// A 64-bit integer, as a number or as a string.
struct Size(i64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Integer;

        impl Visitor<'_> for Integer {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer of 64 bits")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Size, E> {
                Ok(Size(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Size, E> {
                number.try_into().map(Size).map_err(E::custom)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map(Size).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Integer)
    }
}

/// The first elements of a list, and how many there are. The rest is read and forgotten, so that a list of
/// any length takes little memory.
struct Sequence<T> {
    first: Vec<T>,
    count: usize,
}

impl<T> Default for Sequence<T> {
    fn default() -> Self {
        Self { first: Vec::new(), count: 0 }
    }
}

impl<T> Sequence<T> {
    fn all(self) -> Result<Vec<T>, Refusal> {
        if self.count > self.first.len() {
            let reason =
                format!("{} payloads in one request, {MOST_PAYLOADS} are allowed", self.count);
            return Err(Refusal::new(Kind::TooManyPayloads, reason));
        }
        Ok(self.first)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sequence<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
            type Value = Sequence<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut read = Sequence::default();
                while read.first.len() < MOST_PAYLOADS {
                    let Some(element) = list.next_element()? else { break };
                    read.first.push(element);
                }
                read.count = read.first.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    read.count += 1;
                }
                Ok(read)
            }
        }

        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(metadata: &[(&str, &[u8])], data: &[u8]) -> Payload {
        let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        Payload { metadata: metadata.collect(), data: data.to_vec(), ..Payload::default() }
    }

    #[test]
    fn the_form_is_that_of_protocol_buffers() {
        let payloads = [payload(&[("encoding", b"json/plain")], br#""Hi""#), Payload::default()];
        let json: serde_json::Value = serde_json::from_slice(&write(&payloads)).unwrap();
        let expected = json!({"payloads": [
            {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IkhpIg=="},
            {},
        ]});
        assert_eq!(json, expected);
    }

    /// Written by Google's own library for Python, of a message with every field.
    const FOREIGN: &str = r#"{"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IkhpIg=="},
        {"metadata": {"\u00e9\"\n": "AP8=", "": ""}, "data": "+//+",
        "externalPayloads": [{"sizeBytes": "9223372036854775807"}, {}]}, {}]}"#;

    #[test]
    fn what_protocol_buffers_write_is_read_and_written_the_same() {
        let mut stored = payload(&[("", b""), ("é\"\n", b"\0\xff")], b"\xfb\xff\xfe");
        stored.external_payloads.resize_with(2, Default::default);
        stored.external_payloads[0].size_bytes = i64::MAX;
        let plain = payload(&[("encoding", b"json/plain")], br#""Hi""#);
        let payloads = read(FOREIGN.as_bytes()).unwrap();
        assert_eq!(payloads, [plain, stored, Payload::default()]);
        // Field by field, because maps have no order.
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&write(&payloads)), value(FOREIGN.as_bytes()));
    }

    #[test]
    fn other_spellings_of_the_same_are_read() {
        let expected = payload(&[("encoding", b"x")], b"\xfb\xff\xfe");
        for body in [
            r#"{"payloads":[{"metadata":{"encoding":"eA=="},"data":"+//+"}]}"#,
            r#"{"payloads":[{"metadata":{"encoding":"eA"},"data":"-__-"}]}"#,
            r#" { "payloads" : [ { "data":"+\/\/+", "metadata":{"\u0065ncoding":"eA"}} ] } "#,
            r#"{"payloads":[{"metadata":{"encoding":"eA=="},"data":"+//+","externalPayloads":[]}]}"#,
            r#"{"payloads":[{"metadata":{"encoding":"eA"},"data":"+//+","external_payloads":null}]}"#,
        ] {
            assert_eq!(read(body.as_bytes()).unwrap(), std::slice::from_ref(&expected), "{body}");
        }
        for none in ["{}", r#"{"payloads":null}"#, r#"{"payloads":[]}"#] {
            assert!(read(none.as_bytes()).unwrap().is_empty());
        }
        for empty in ["{}", r#"{"metadata":null,"data":null}"#, r#"{"metadata":{},"data":""}"#] {
            let body = format!(r#"{{"payloads":[{empty}]}}"#);
            assert_eq!(read(body.as_bytes()).unwrap(), [Payload::default()], "{body}");
        }
        let body = r#"{"payloads":[{"externalPayloads":[{"sizeBytes":"7"},{"size_bytes":8},{}]}]}"#;
        let sizes: Vec<_> = read(body.as_bytes()).unwrap()[0]
            .external_payloads
            .iter()
            .map(|details| details.size_bytes)
            .collect();
        assert_eq!(sizes, [7, 8, 0]);
    }

    #[test]
    fn anything_else_is_refused_and_not_quoted() {
        for body in [
            "",
            "SECRET",
            "\u{feff}{}",
            r#""SECRET""#,
            r#"["SECRET"]"#,
            r#"{"SECRET":1}"#,
            r#"{"payloads":"SECRET"}"#,
            r#"{"payloads":["SECRET"]}"#,
            r#"{"payloads":[null]}"#,
            r#"{"payloads":[{"SECRET":1}]}"#,
            r#"{"payloads":[{"data":"SECRET!"}]}"#,
            r#"{"payloads":[{"data":"-//-"}]}"#,
            r#"{"payloads":[{"data":7}]}"#,
            r#"{"payloads":[{"data":["SECRET"]}]}"#,
            r#"{"payloads":[{"data":"","data":""}]}"#,
            r#"{"payloads":[{"metadata":{"SECRET":7}}]}"#,
            r#"{"payloads":[{"metadata":["SECRET"]}]}"#,
            r#"{"payloads":[{"externalPayloads":[{"sizeBytes":"SECRET"}]}]}"#,
            r#"{"payloads":[{"externalPayloads":[{"sizeBytes":1.5}]}]}"#,
            r#"{"payloads":[{"externalPayloads":[{"sizeBytes":9223372036854775808}]}]}"#,
            r#"{"payloads":[]}SECRET"#,
            r#"{"payloads":[],"payloads":[]}"#,
            r#"{"payloads":[{"data":"U0VDUkVU"#,
        ] {
            let refusal = read(body.as_bytes()).unwrap_err();
            assert_eq!(refusal.kind(), Kind::NotPayloads, "{body}");
            assert!(!format!("{refusal} {refusal:?}").contains("SECRET"), "{refusal:?}");
        }
        assert_eq!(read(&[0xff, 0xfe]).unwrap_err().kind(), Kind::NotPayloads);
        let deep = format!(r#"{{"payloads":{}"#, "[".repeat(1 << 20));
        assert_eq!(read(deep.as_bytes()).unwrap_err().kind(), Kind::NotPayloads);
    }

    #[test]
    fn more_payloads_than_allowed_are_refused() {
        let body = |element: &str, count| {
            format!(r#"{{"payloads":[{}]}}"#, vec![element; count].join(","))
        };
        assert_eq!(read(body("{}", MOST_PAYLOADS).as_bytes()).unwrap().len(), MOST_PAYLOADS);
        let refusal = read(body("{}", MOST_PAYLOADS + 1).as_bytes()).unwrap_err();
        assert_eq!(refusal.kind(), Kind::TooManyPayloads);
        assert!(refusal.to_string().starts_with("16385 payloads"), "{refusal}");
    }
}
