//! The bytes of an input record: identity, key, sequence number and a checksum over all of it, so that the final
//! read can tell an altered record from an intact one. Poison differs in its first bytes alone.

use std::borrow::Cow;

/// Records that begin with these bytes are ones that no application can process (see "What an application under
/// test must do").
pub const POISON_PREFIX: &str = "poison";

/// What an input record says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBody<'a> {
    pub id: u64,
    pub key: Cow<'a, str>,
    pub seq: u64,
    pub poison: bool,
}

/// Why bytes are not a record of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    #[error("not a record that Seaworthy wrote")]
    Foreign,
    #[error("the checksum does not fit: the bytes were altered")]
    Altered,
}

impl RecordBody<'_> {
    /// The value's bytes, padded to `size` where the content is shorter.
    pub fn encode(&self, size: usize) -> Vec<u8> {
        let prefix = if self.poison { POISON_PREFIX } else { "" };
        let mut value = format!(r#"{prefix}{{"id":{},"key":"{}","seq":{},"pad":""#, self.id, self.key, self.seq);
        // The checksum field and the closing brace are of fixed length: `","crc":"00000000"}`.
        const TAIL: usize = r#"","crc":"00000000"}"#.len();
        value.extend(std::iter::repeat_n('.', size.saturating_sub(value.len() + TAIL)));
        let sum = crc32fast::hash(value.as_bytes());
        value.push_str(&format!(r#"","crc":"{sum:08x}"}}"#));
        value.into_bytes()
    }

    /// Reads a value back and checks its checksum.
    pub fn decode(value: &[u8]) -> Result<RecordBody<'_>, RecordError> {
        const TAIL: usize = r#"","crc":"00000000"}"#.len();
        let text = std::str::from_utf8(value).map_err(|_| RecordError::Altered)?;
        let poison = text.starts_with(POISON_PREFIX);
        let json = text.strip_prefix(POISON_PREFIX).unwrap_or(text);
        if !json.starts_with(r#"{"id":"#) {
            return Err(RecordError::Foreign);
        }
        let split =
            value.len().checked_sub(TAIL).filter(|at| text.is_char_boundary(*at)).ok_or(RecordError::Altered)?;
        let expected = format!(r#"","crc":"{:08x}"}}"#, crc32fast::hash(&value[..split]));
        if text[split..] != expected {
            return Err(RecordError::Altered);
        }
        #[derive(serde::Deserialize)]
        struct Json<'a> {
            id: u64,
            #[serde(borrow)]
            key: Cow<'a, str>,
            seq: u64,
        }
        let Json { id, key, seq } = serde_json::from_str(json).map_err(|_| RecordError::Altered)?;
        Ok(RecordBody { id, key, seq, poison })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_is_padded_to_its_size_and_reads_back() {
        let record = RecordBody { id: 17, key: "k7".into(), seq: 4, poison: false };
        let bytes = record.encode(256);
        assert_eq!(bytes.len(), 256);
        assert_eq!(RecordBody::decode(&bytes), Ok(record));
    }

    #[test]
    fn poison_starts_with_the_promised_bytes() {
        let record = RecordBody { id: 1, key: "k".into(), seq: 0, poison: true };
        let bytes = record.encode(10);
        assert!(bytes.starts_with(b"poison"));
        assert_eq!(RecordBody::decode(&bytes), Ok(record));
    }

    #[test]
    fn what_others_wrote_is_foreign() {
        assert_eq!(RecordBody::decode(b"{\"order\":1}"), Err(RecordError::Foreign));
        assert_eq!(RecordBody::decode(b""), Err(RecordError::Foreign));
    }

    proptest! {
        #[test]
        fn one_altered_byte_never_passes(id: u64, seq: u64, size in 0usize..400, at: prop::sample::Index, flip in 1u8..) {
            let mut bytes = RecordBody { id, key: "k3".into(), seq, poison: false }.encode(size);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(RecordBody::decode(&bytes).is_err());
        }
    }
}
