//! Answers that name brokers' addresses, with other addresses in them. Pure bytes.

use crate::cluster::wire::{Reader, WireError, Writer};

use super::{FIND_COORDINATOR, METADATA};

/// From which version on headers and strings are of the longer, compact form.
fn flexible(api: i16, version: i16) -> bool {
    match api {
        METADATA => version >= 9,
        FIND_COORDINATOR => version >= 3,
        _ => false,
    }
}

/// A reply to Metadata or FindCoordinator (up to version 3) in which each broker has another port on this machine.
/// Brokers without one stay as they are.
pub(super) fn reply(
    api: i16,
    version: i16,
    bytes: Vec<u8>,
    port_of: impl Fn(i32) -> Option<u16>,
) -> Result<Vec<u8>, WireError> {
    let compact = flexible(api, version);
    let mut reader = Reader::new(bytes);
    // (from, to, port) of each host and port in the reply.
    let mut places = Vec::new();
    reader.i32()?; // correlation id
    if compact {
        reader.tags()?;
    }
    let mut place = |reader: &mut Reader, broker: i32| {
        let from = reader.position();
        if compact {
            reader.compact_string()?
        } else {
            reader.string()?
        };
        reader.i32()?;
        places.extend(port_of(broker).map(|port| (from, reader.position(), port)));
        Ok::<(), WireError>(())
    };
    if api == METADATA {
        if version >= 3 {
            reader.i32()?; // throttle time
        }
        let brokers = if compact { reader.compact_len()? } else { reader.i32()?.max(0) as usize };
        for _ in 0..brokers {
            let broker = reader.i32()?;
            place(&mut reader, broker)?;
            if version >= 1 {
                // The rack.
                if compact {
                    reader.compact_string()?
                } else {
                    reader.string()?
                };
            }
            if compact {
                reader.tags()?;
            }
        }
    } else {
        if version >= 1 {
            reader.i32()?; // throttle time
        }
        reader.i16()?; // error
        if version >= 1 {
            // Its message.
            if compact {
                reader.compact_string()?
            } else {
                reader.string()?
            };
        }
        let broker = reader.i32()?;
        place(&mut reader, broker)?;
    }
    let bytes = reader.into_bytes();
    let mut out = Writer::default();
    let mut done = 0;
    for (from, to, port) in places {
        out.raw(&bytes[done..from]);
        if compact {
            out.compact_string("127.0.0.1")
        } else {
            out.string("127.0.0.1")
        };
        out.i32(i32::from(port));
        done = to;
    }
    out.raw(&bytes[done..]);
    Ok(out.into_bytes())
}

/// The group that a FindCoordinator request asks about; `None` if it is about something else, or cannot be read.
pub(super) fn group(request: &[u8], version: i16) -> Option<String> {
    const GROUP: i8 = 0;
    let compact = flexible(FIND_COORDINATOR, version);
    let mut reader = Reader::new(request.get(8..)?.to_vec());
    reader.string().ok()?; // client id
    if compact {
        reader.tags().ok()?;
    }
    let key = if compact { reader.compact_string() } else { reader.string() };
    let key = key.ok()?;
    if version >= 1 && reader.i8().ok()? != GROUP {
        return None;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(broker: i32) -> Option<u16> {
        (broker == 2).then_some(4242)
    }

    #[test]
    fn metadata_of_both_forms_get_the_new_address_and_keep_the_rest() {
        for version in [0, 1, 7, 8, 9, 12] {
            let compact = version >= 9;
            let write = |port: i32, host: &str| {
                let mut out = Writer::default();
                out.i32(7);
                if compact {
                    out.tags();
                }
                if version >= 3 {
                    out.i32(0);
                }
                if compact {
                    out.compact_len(2)
                } else {
                    out.i32(2)
                };
                for (broker, host, port) in [(1, "one.example", 1), (2, host, port)] {
                    out.i32(broker);
                    if compact {
                        out.compact_string(host)
                    } else {
                        out.string(host)
                    };
                    out.i32(port);
                    if version >= 1 {
                        if compact {
                            out.raw(&[0])
                        } else {
                            out.nullable_string(None)
                        };
                    }
                    if compact {
                        out.tags();
                    }
                }
                out.string("whatever comes then");
                out.into_bytes()
            };
            let changed = reply(METADATA, version, write(9, "two.example"), other).unwrap();
            assert_eq!(changed, write(4242, "127.0.0.1"), "version {version}");
        }
    }

    #[test]
    fn a_coordinator_gets_the_new_address_and_an_error_stays() {
        for version in [0, 1, 2, 3] {
            let compact = version >= 3;
            let write = |broker: i32, host: &str, port: i32| {
                let mut out = Writer::default();
                out.i32(7);
                if compact {
                    out.tags();
                }
                if version >= 1 {
                    out.i32(0);
                }
                out.i16(0);
                if version >= 1 {
                    if compact {
                        out.raw(&[0])
                    } else {
                        out.nullable_string(None)
                    };
                }
                out.i32(broker);
                if compact {
                    out.compact_string(host)
                } else {
                    out.string(host)
                };
                out.i32(port).tags();
                out.into_bytes()
            };
            let changed = reply(FIND_COORDINATOR, version, write(2, "two", 9), other).unwrap();
            assert_eq!(changed, write(2, "127.0.0.1", 4242), "version {version}");
            let error = write(-1, "", -1);
            assert_eq!(reply(FIND_COORDINATOR, version, error.clone(), other).unwrap(), error);
        }
    }

    #[test]
    fn the_group_is_read_from_the_request() {
        for (version, kind, expected) in [(0, 0, Some("g")), (2, 0, Some("g")), (2, 1, None), (3, 0, Some("g"))] {
            let mut out = Writer::default();
            out.i16(FIND_COORDINATOR).i16(version).i32(1).string("client");
            if version >= 3 {
                out.tags().compact_string("g");
            } else {
                out.string("g");
            }
            if version >= 1 {
                out.i8(kind);
            }
            assert_eq!(group(out.as_bytes(), version).as_deref(), expected, "version {version}");
        }
        assert_eq!(group(&[0; 9], 0), None);
    }

    proptest::proptest! {
        #[test]
        fn no_reply_makes_it_panic(bytes: Vec<u8>, version in 0i16..13, metadata: bool) {
            let api = if metadata { METADATA } else { FIND_COORDINATOR };
            let _ = reply(api, version, bytes.clone(), other);
            let _ = group(&bytes, version);
        }
    }
}
