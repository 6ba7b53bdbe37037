//! Kafka's primitive types, written and read.

use super::WireError;

/// Builds a request's bytes.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub fn i8(&mut self, v: i8) -> &mut Self {
        self.raw(&v.to_be_bytes())
    }

    pub fn i16(&mut self, v: i16) -> &mut Self {
        self.raw(&v.to_be_bytes())
    }

    pub fn i32(&mut self, v: i32) -> &mut Self {
        self.raw(&v.to_be_bytes())
    }

    pub fn i64(&mut self, v: i64) -> &mut Self {
        self.raw(&v.to_be_bytes())
    }

    pub fn string(&mut self, v: &str) -> &mut Self {
        self.i16(v.len() as i16).raw(v.as_bytes())
    }

    pub fn nullable_string(&mut self, v: Option<&str>) -> &mut Self {
        match v {
            Some(v) => self.string(v),
            None => self.i16(-1),
        }
    }

    pub fn compact_string(&mut self, v: &str) -> &mut Self {
        self.compact_len(v.len()).raw(v.as_bytes())
    }

    /// Length of a compact string or array: one more than it is, so that 0 can mean null.
    pub fn compact_len(&mut self, len: usize) -> &mut Self {
        let mut rest = len + 1;
        while rest >= 0x80 {
            self.0.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    /// No tagged fields.
    pub fn tags(&mut self) -> &mut Self {
        self.raw(&[0])
    }

    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.raw(&other.0)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Takes a reply apart, front to back.
pub(crate) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// Behind a request's header. `compact`: that is of the longer form, as lengths and strings are.
    pub fn of_request(bytes: Vec<u8>, compact: bool) -> Result<Self, WireError> {
        let mut reader = Self::new(bytes);
        reader.take(8)?; // API, version, correlation id
        reader.string()?; // client id, in the short form always
        if compact {
            reader.tags()?;
        }
        Ok(reader)
    }

    /// Behind a reply's header.
    pub fn of_reply(bytes: Vec<u8>, compact: bool) -> Result<Self, WireError> {
        let mut reader = Self::new(bytes);
        reader.i32()?; // correlation id
        if compact {
            reader.tags()?;
        }
        Ok(reader)
    }

    /// How many bytes have been taken.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Everything, taken or not.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn take(&mut self, n: usize) -> Result<&[u8], WireError> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        let taken = &self.bytes[self.at..end.ok_or(WireError::Malformed("it ends too early"))?];
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Malformed("it ends too early"))
    }

    pub fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// An error code that must be 0.
    pub fn success(&mut self) -> Result<(), WireError> {
        match self.i16()? {
            0 => Ok(()),
            code => Err(WireError::Refused(code)),
        }
    }

    /// A string; null reads as empty.
    pub fn string(&mut self) -> Result<String, WireError> {
        let len = self.i16()?.max(0) as usize;
        self.text(len)
    }

    pub fn compact_string(&mut self) -> Result<String, WireError> {
        let len = self.compact_len()?;
        self.text(len)
    }

    /// A string of either form; null reads as empty.
    pub fn string_in(&mut self, compact: bool) -> Result<String, WireError> {
        if compact { self.compact_string() } else { self.string() }
    }

    /// The length of an array, or of bytes, of either form; null reads as 0.
    pub fn len_in(&mut self, compact: bool) -> Result<usize, WireError> {
        if compact { self.compact_len() } else { Ok(self.i32()?.max(0) as usize) }
    }

    fn text(&mut self, len: usize) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// Length of a compact string or array; null reads as 0.
    pub fn compact_len(&mut self) -> Result<usize, WireError> {
        Ok((self.varint()? as usize).saturating_sub(1))
    }

    fn varint(&mut self) -> Result<u32, WireError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed("endless number"))
    }

    /// Skips tagged fields.
    pub fn tags(&mut self) -> Result<(), WireError> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let len = self.varint()? as usize;
            self.take(len)?;
        }
        Ok(())
    }

    /// An array, element by element; null reads as empty.
    pub fn items<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, WireError>) -> Result<Vec<T>, WireError> {
        let len = self.i32()?.max(0);
        (0..len).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: i8, b: i16, c: i32, d: i64, s in ".{0,300}", t in ".{0,300}") {
            let mut out = Writer::default();
            out.i8(a).i16(b).i32(c).i64(d).string(&s).compact_string(&t).tags();
            let mut back = Reader::new(out.as_bytes().to_vec());
            prop_assert_eq!(back.i8()?, a);
            prop_assert_eq!(back.i16()?, b);
            prop_assert_eq!(back.i32()?, c);
            prop_assert_eq!(back.i64()?, d);
            prop_assert_eq!(back.string()?, s);
            prop_assert_eq!(back.compact_string()?, t);
            back.tags()?;
        }

        #[test]
        fn no_reply_makes_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(bytes);
            let _ = reader.items(|r| { r.string()?; r.tags()?; r.compact_string() });
        }
    }
}
