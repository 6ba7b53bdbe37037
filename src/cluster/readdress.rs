//! Answers that name brokers' addresses, with other addresses in them. Pure bytes.
//!
//! A client follows whatever address a broker tells it, so every answer that can name one is known here: Metadata,
//! FindCoordinator and DescribeCluster, and Produce and Fetch, which may add the new leader's address to a refusal (that is
//! left out: clients then take the address that they know). Of a newer version than those known here nothing may be
//! understood, so ApiVersions says that there is none.

use super::wire::{Reader, WireError, Writer};

pub(super) const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
pub(super) const METADATA: i16 = 3;
pub(super) const FIND_COORDINATOR: i16 = 10;
const API_VERSIONS: i16 = 18;
const DESCRIBE_CLUSTER: i16 = 60;

/// The newest version that is known of each request whose answer can name addresses: those of Kafka 4.1.
const NEWEST: [(i16, i16); 5] =
    [(PRODUCE, 13), (FETCH, 18), (METADATA, 13), (FIND_COORDINATOR, 6), (DESCRIBE_CLUSTER, 2)];

/// From which version on headers and strings are of the longer, compact form.
fn flexible(api: i16, version: i16) -> bool {
    match api {
        METADATA => version >= 9,
        FIND_COORDINATOR => version >= 3,
        DESCRIBE_CLUSTER => true,
        _ => false,
    }
}

/// A reply to any request, in which each broker has another port on this machine. Brokers without one stay as they are.
pub(super) fn reply(
    api: i16,
    version: i16,
    bytes: Vec<u8>,
    port_of: impl Fn(i32) -> Option<u16>,
) -> Result<Vec<u8>, WireError> {
    match api {
        METADATA | FIND_COORDINATOR | DESCRIBE_CLUSTER => moved(api, version, bytes, port_of),
        PRODUCE if version >= 10 => without_leaders(bytes, |reader| produced(reader, version)),
        FETCH if version >= 16 => without_leaders(bytes, fetched),
        API_VERSIONS => known_versions(version, bytes),
        _ => Ok(bytes),
    }
}

/// Hosts and ports of one reply, as they are read.
struct Places<F> {
    compact: bool,
    port_of: F,
    /// (from, to, port) of each in the reply.
    found: Vec<(usize, usize, u16)>,
}

impl<F: Fn(i32) -> Option<u16>> Places<F> {
    fn text(&self, reader: &mut Reader) -> Result<(), WireError> {
        reader.string_in(self.compact).map(drop)
    }

    /// Reads the host and port of a broker.
    fn take(&mut self, reader: &mut Reader, broker: i32) -> Result<(), WireError> {
        let from = reader.position();
        self.text(reader)?;
        reader.i32()?;
        self.found.extend((self.port_of)(broker).map(|port| (from, reader.position(), port)));
        Ok(())
    }
}

fn moved(api: i16, version: i16, bytes: Vec<u8>, port_of: impl Fn(i32) -> Option<u16>) -> Result<Vec<u8>, WireError> {
    let compact = flexible(api, version);
    let mut places = Places { compact, port_of, found: Vec::new() };
    let mut reader = Reader::of_reply(bytes, compact)?;
    match api {
        METADATA => in_metadata(&mut reader, version, &mut places)?,
        FIND_COORDINATOR if version >= 4 => in_coordinators(&mut reader, &mut places)?,
        FIND_COORDINATOR => in_coordinator(&mut reader, version, &mut places)?,
        _ => in_cluster(&mut reader, version, &mut places)?,
    }
    let bytes = reader.into_bytes();
    let mut out = Writer::default();
    let mut done = 0;
    for (from, to, port) in places.found {
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

fn in_metadata<F>(reader: &mut Reader, version: i16, places: &mut Places<F>) -> Result<(), WireError>
where
    F: Fn(i32) -> Option<u16>,
{
    if version >= 3 {
        reader.i32()?; // throttle time
    }
    for _ in 0..reader.len_in(places.compact)? {
        let broker = reader.i32()?;
        places.take(reader, broker)?;
        if version >= 1 {
            places.text(reader)?; // rack
        }
        if places.compact {
            reader.tags()?;
        }
    }
    Ok(())
}

fn in_coordinator<F>(reader: &mut Reader, version: i16, places: &mut Places<F>) -> Result<(), WireError>
where
    F: Fn(i32) -> Option<u16>,
{
    if version >= 1 {
        reader.i32()?; // throttle time
    }
    reader.i16()?; // error
    if version >= 1 {
        places.text(reader)?; // its message
    }
    let broker = reader.i32()?;
    places.take(reader, broker)
}

/// Since version 4: of several groups at a time.
fn in_coordinators<F>(reader: &mut Reader, places: &mut Places<F>) -> Result<(), WireError>
where
    F: Fn(i32) -> Option<u16>,
{
    reader.i32()?; // throttle time
    for _ in 0..reader.compact_len()? {
        reader.compact_string()?; // group
        let broker = reader.i32()?;
        places.take(reader, broker)?;
        reader.i16()?; // error
        reader.compact_string()?; // its message
        reader.tags()?;
    }
    Ok(())
}

fn in_cluster<F>(reader: &mut Reader, version: i16, places: &mut Places<F>) -> Result<(), WireError>
where
    F: Fn(i32) -> Option<u16>,
{
    reader.i32()?; // throttle time
    reader.i16()?; // error
    reader.compact_string()?; // its message
    if version >= 1 {
        reader.i8()?; // brokers or controllers
    }
    reader.compact_string()?; // the cluster's id
    reader.i32()?; // controller
    for _ in 0..reader.compact_len()? {
        let broker = reader.i32()?;
        places.take(reader, broker)?;
        reader.compact_string()?; // rack
        if version >= 2 {
            reader.i8()?; // fenced
        }
        reader.tags()?;
    }
    Ok(())
}

/// The reply without its last tagged fields, which are the addresses of new leaders. `body` reads up to there.
fn without_leaders(
    bytes: Vec<u8>,
    body: impl FnOnce(&mut Reader) -> Result<(), WireError>,
) -> Result<Vec<u8>, WireError> {
    let mut reader = Reader::new(bytes);
    reader.i32()?; // correlation id
    reader.tags()?;
    body(&mut reader)?;
    let end = reader.position();
    let mut bytes = reader.into_bytes();
    bytes.truncate(end);
    bytes.push(0);
    Ok(bytes)
}

fn produced(reader: &mut Reader, version: i16) -> Result<(), WireError> {
    for _ in 0..reader.compact_len()? {
        if version >= 13 {
            reader.take(16)?; // the topic's id
        } else {
            reader.compact_string()?; // its name
        }
        for _ in 0..reader.compact_len()? {
            reader.take(4 + 2 + 8 + 8 + 8)?; // number, error, offset, time, log's start
            for _ in 0..reader.compact_len()? {
                reader.i32()?;
                reader.compact_string()?;
                reader.tags()?;
            }
            reader.compact_string()?; // the error's message
            reader.tags()?;
        }
        reader.tags()?;
    }
    reader.i32().map(drop) // throttle time
}

fn fetched(reader: &mut Reader) -> Result<(), WireError> {
    reader.take(4 + 2 + 4)?; // throttle time, error, session
    for _ in 0..reader.compact_len()? {
        reader.take(16)?; // the topic's id
        for _ in 0..reader.compact_len()? {
            reader.take(4 + 2 + 8 + 8 + 8)?; // number, error, high watermark, last stable offset, log's start
            for _ in 0..reader.compact_len()? {
                reader.take(8 + 8)?; // an aborted transaction
                reader.tags()?;
            }
            reader.i32()?; // preferred replica
            let records = reader.compact_len()?;
            reader.take(records)?;
            reader.tags()?;
        }
        reader.tags()?;
    }
    Ok(())
}

/// Which requests a broker takes, with no version that is not known here.
fn known_versions(version: i16, bytes: Vec<u8>) -> Result<Vec<u8>, WireError> {
    let compact = version >= 3;
    let mut reader = Reader::new(bytes);
    reader.i32()?; // correlation id; this reply's header is the short one whatever the version
    reader.i16()?; // error
    let count = reader.len_in(compact)?;
    let mut lowered = Vec::new();
    for _ in 0..count {
        let api = reader.i16()?;
        reader.i16()?;
        let at = reader.position();
        let most = reader.i16()?;
        if let Some((_, newest)) = NEWEST.iter().find(|(known, newest)| *known == api && most > *newest) {
            lowered.push((at, *newest));
        }
        if compact {
            reader.tags()?;
        }
    }
    let mut bytes = reader.into_bytes();
    for (at, newest) in lowered {
        bytes[at..at + 2].copy_from_slice(&newest.to_be_bytes());
    }
    Ok(bytes)
}

/// The group that a FindCoordinator request asks about; `None` if it is about something else, or cannot be read.
pub(super) fn group(request: &[u8], version: i16) -> Option<String> {
    const GROUP: i8 = 0;
    let compact = flexible(FIND_COORDINATOR, version);
    let mut reader = Reader::of_request(request.to_vec(), compact).ok()?;
    let key = reader.string_in(compact).ok()?;
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

    #[test]
    fn coordinators_of_several_groups_and_a_described_cluster_get_new_addresses_too() {
        let coordinators = |host: &str, port: i32| {
            let mut out = Writer::default();
            out.i32(7).tags().i32(0).compact_len(2);
            for (broker, host, port) in [(1, "one", 1), (2, host, port)] {
                out.compact_string("g").i32(broker).compact_string(host).i32(port).i16(0).raw(&[0]).tags();
            }
            out.tags();
            out.into_bytes()
        };
        for version in [4, 6] {
            let changed = reply(FIND_COORDINATOR, version, coordinators("two", 9), other).unwrap();
            assert_eq!(changed, coordinators("127.0.0.1", 4242));
        }
        for version in [0, 1, 2] {
            let cluster = |host: &str, port: i32| {
                let mut out = Writer::default();
                out.i32(7).tags().i32(0).i16(0).raw(&[0]);
                if version >= 1 {
                    out.i8(1);
                }
                out.compact_string("id").i32(1).compact_len(1).i32(2).compact_string(host).i32(port).raw(&[0]);
                if version >= 2 {
                    out.i8(0);
                }
                out.tags().i32(0).tags();
                out.into_bytes()
            };
            let changed = reply(DESCRIBE_CLUSTER, version, cluster("two", 9), other).unwrap();
            assert_eq!(changed, cluster("127.0.0.1", 4242), "version {version}");
        }
    }

    #[test]
    fn a_refusal_loses_the_new_leader_s_address_and_keeps_the_rest() {
        let leaders = |out: &mut Writer| {
            out.raw(&[1, 0, 3]).raw(b"two");
        };
        let fetched = |with: bool| {
            let mut out = Writer::default();
            out.i32(7).tags().i32(0).i16(0).i32(0).compact_len(1).raw(&[9; 16]).compact_len(1);
            out.i32(3)
                .i16(6)
                .i64(1)
                .i64(1)
                .i64(0)
                .compact_len(1)
                .i64(5)
                .i64(6)
                .tags()
                .i32(-1)
                .compact_string("records");
            out.raw(&[1, 1, 2]).raw(b"me").tags();
            if with {
                leaders(&mut out);
            } else {
                out.tags();
            }
            out.into_bytes()
        };
        assert_eq!(reply(FETCH, 16, fetched(true), other).unwrap(), fetched(false));
        assert_eq!(reply(FETCH, 18, fetched(false), other).unwrap(), fetched(false));
        for version in [10, 12, 13] {
            let produced = |with: bool| {
                let mut out = Writer::default();
                out.i32(7).tags().compact_len(1);
                if version >= 13 {
                    out.raw(&[9; 16]);
                } else {
                    out.compact_string("orders");
                }
                out.compact_len(1).i32(3).i16(6).i64(-1).i64(-1).i64(-1).compact_len(1).i32(0).raw(&[0]).tags();
                out.raw(&[0]).tags().tags().i32(0);
                if with {
                    leaders(&mut out);
                } else {
                    out.tags();
                }
                out.into_bytes()
            };
            assert_eq!(reply(PRODUCE, version, produced(true), other).unwrap(), produced(false), "version {version}");
        }
    }

    #[test]
    fn versions_that_are_not_known_here_are_not_offered() {
        for version in [0, 2, 3, 4] {
            let offered = |fetch: i16| {
                let mut out = Writer::default();
                out.i32(7).i16(0);
                if version >= 3 {
                    out.compact_len(2);
                } else {
                    out.i32(2);
                }
                for (api, most) in [(FETCH, fetch), (11, 99)] {
                    out.i16(api).i16(0).i16(most);
                    if version >= 3 {
                        out.tags();
                    }
                }
                out.i32(0);
                out.into_bytes()
            };
            assert_eq!(reply(API_VERSIONS, version, offered(40), other).unwrap(), offered(18), "version {version}");
            assert_eq!(reply(API_VERSIONS, version, offered(12), other).unwrap(), offered(12), "version {version}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_reply_makes_it_panic(bytes: Vec<u8>, version in 0i16..19, which in 0usize..6) {
            let api = [PRODUCE, FETCH, METADATA, FIND_COORDINATOR, API_VERSIONS, DESCRIBE_CLUSTER][which];
            let _ = reply(api, version, bytes.clone(), other);
            let _ = group(&bytes, version);
        }
    }
}
