//! Kafka's frames: a length of four bytes, and so many more.

use std::io;
use std::ops::RangeInclusive;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one whose size is within `sizes`: any other is nonsense. `None`: the other side has closed, between two frames.
pub(crate) async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    sizes: RangeInclusive<usize>,
) -> io::Result<Option<Vec<u8>>> {
    let size = match stream.read_i32().await {
        Ok(size) => size,
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(e) => return Err(e),
    };
    let size = usize::try_from(size).ok().filter(|size| sizes.contains(size));
    let mut frame = vec![0; size.ok_or_else(|| malformed("an impossible size"))?];
    stream.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

/// Writes one, at once.
pub(crate) async fn write_frame(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let mut whole = Vec::with_capacity(frame.len() + 4);
    whole.extend_from_slice(&(frame.len() as i32).to_be_bytes());
    whole.extend_from_slice(frame);
    stream.write_all(&whole).await
}

/// The error of bytes that make no sense.
pub(crate) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_whole_and_a_closed_connection_is_an_end() {
        let (mut here, mut there) = tokio::io::duplex(64);
        write_frame(&mut here, b"four and more").await.unwrap();
        drop(here);
        assert_eq!(read_frame(&mut there, 4..=64).await.unwrap().as_deref(), Some(&b"four and more"[..]));
        assert_eq!(read_frame(&mut there, 4..=64).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_size_out_of_bounds_is_refused() {
        for bytes in [&b"abc"[..], &b"more than is allowed"[..]] {
            let (mut here, mut there) = tokio::io::duplex(64);
            write_frame(&mut here, bytes).await.unwrap();
            assert!(read_frame(&mut there, 4..=8).await.is_err());
        }
    }
}
