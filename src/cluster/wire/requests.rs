//! The requests themselves: versions that brokers from 2.8 to 4.x all take.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{ApiKey, Reader, WireError, Writer, call, call_over};
use crate::plan::TopicPartition;

/// One broker's view of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Live brokers and the addresses that they advertise on the path that was asked.
    pub brokers: BTreeMap<u32, String>,
    pub topics: BTreeMap<String, TopicMetadata>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Kafka's error code, 0 for none.
    pub error: i16,
    /// Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    pub partitions: BTreeMap<i32, PartitionMetadata>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// `None` while there is no leader.
    pub leader: Option<u32>,
    /// Grows with each election: the greater of two views is the newer.
    pub epoch: i32,
    /// The first is the preferred leader.
    pub replicas: Vec<u32>,
    pub isr: Vec<u32>,
}

/// What one broker knows about all topics.
pub async fn metadata(address: &str, within: Duration) -> Result<Metadata, WireError> {
    known(call(address, ApiKey::Metadata, 7, &every_topic(), within).await?)
}

/// The same on a connection that is open, and closed afterwards.
pub(crate) async fn metadata_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    within: Duration,
) -> Result<Metadata, WireError> {
    known(call_over(stream, ApiKey::Metadata, 7, &every_topic(), within).await?)
}

fn every_topic() -> Writer {
    let mut body = Writer::default();
    body.i32(-1).i8(0); // create none
    body
}

fn known(mut reply: Reader) -> Result<Metadata, WireError> {
    let ids = |r: &mut Reader| r.items(|r| Ok(r.i32()? as u32));
    reply.i32()?; // throttle time
    let brokers = reply.items(|r| {
        let id = r.i32()? as u32;
        let host = r.string()?;
        let port = r.i32()?;
        r.string()?; // rack
        Ok((id, format!("{host}:{port}")))
    })?;
    reply.string()?; // cluster id
    reply.i32()?; // in KRaft not the controller but any broker
    let topics = reply.items(|r| {
        let error = r.i16()?;
        let name = r.string()?;
        let internal = r.i8()? != 0;
        let partitions = r.items(|r| {
            r.i16()?; // repeats what leader and replicas say
            let number = r.i32()?;
            let leader = u32::try_from(r.i32()?).ok();
            let epoch = r.i32()?;
            let partition = PartitionMetadata { leader, epoch, replicas: ids(r)?, isr: ids(r)? };
            ids(r)?; // offline replicas
            Ok((number, partition))
        })?;
        Ok((name, TopicMetadata { error, internal, partitions: partitions.into_iter().collect() }))
    })?;
    Ok(Metadata { brokers: brokers.into_iter().collect(), topics: topics.into_iter().collect() })
}

/// Where partitions of a topic end (high watermark). `address` must be that of their leader, which answers so once it
/// serves them: a little after it is known as their leader.
pub(crate) async fn end_offsets(
    address: &str,
    topic: &str,
    partitions: &[i32],
    within: Duration,
) -> Result<BTreeMap<i32, i64>, WireError> {
    const LATEST: i64 = -1;
    let mut body = Writer::default();
    body.i32(-1).i32(1).string(topic).i32(partitions.len() as i32);
    for number in partitions {
        body.i32(*number).i64(LATEST);
    }
    let mut reply = call(address, ApiKey::ListOffsets, 1, &body, within).await?;
    let topics = reply.items(|r| {
        r.string()?;
        r.items(|r| {
            let number = r.i32()?;
            r.success()?;
            r.i64()?; // timestamp
            Ok((number, r.i64()?))
        })
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// High watermarks of partitions, asked in a leader epoch: whoever leads in another one refuses. Of `(partition, epoch)`
/// those are left out that were refused.
pub(crate) async fn high_watermarks(
    address: &str,
    topic: &str,
    partitions: &[(i32, i32)],
    within: Duration,
) -> Result<Vec<(i32, i32, i64)>, WireError> {
    const LATEST: i64 = -1;
    const READ_UNCOMMITTED: i8 = 0;
    let mut body = Writer::default();
    body.i32(-1).i8(READ_UNCOMMITTED).i32(1).string(topic).i32(partitions.len() as i32);
    for (number, epoch) in partitions {
        body.i32(*number).i32(*epoch).i64(LATEST);
    }
    let mut reply = call(address, ApiKey::ListOffsets, 4, &body, within).await?;
    reply.i32()?; // throttle time
    let topics = reply.items(|r| {
        r.string()?;
        r.items(|r| {
            let number = r.i32()?;
            let error = r.i16()?;
            r.i64()?; // timestamp
            let offset = r.i64()?;
            r.i32()?; // epoch of the record there
            Ok((number, error, offset))
        })
    })?;
    let asked = |number: i32| partitions.iter().find(|(known, _)| *known == number).map(|(_, epoch)| *epoch);
    let answered = topics.into_iter().flatten().filter(|(_, error, offset)| *error == 0 && *offset >= 0);
    Ok(answered.filter_map(|(number, _, offset)| Some((number, asked(number)?, offset))).collect())
}

/// The coordinator of a group, as one broker knows it. The first such question creates `__consumer_offsets`.
pub async fn find_coordinator(address: &str, group: &str, within: Duration) -> Result<u32, WireError> {
    let mut body = Writer::default();
    body.string(group).i8(0);
    let mut reply = call(address, ApiKey::FindCoordinator, 1, &body, within).await?;
    reply.i32()?; // throttle time
    reply.success()?;
    reply.string()?;
    Ok(reply.i32()? as u32)
}

/// Leader of the metadata quorum and its epoch. A broker forwards the question to it; a controller that does not lead
/// refuses.
pub(crate) async fn quorum_leader(address: &str, within: Duration) -> Result<(u32, i32), WireError> {
    let mut body = Writer::default();
    body.compact_len(1).compact_string("__cluster_metadata");
    body.compact_len(1).i32(0).tags().tags().tags();
    let mut reply = call(address, ApiKey::DescribeQuorum, 0, &body, within).await?;
    reply.success()?;
    if reply.compact_len()? == 0 {
        return Err(WireError::Malformed("no metadata topic in it"));
    }
    reply.compact_string()?;
    if reply.compact_len()? == 0 {
        return Err(WireError::Malformed("no metadata partition in it"));
    }
    reply.i32()?;
    reply.success()?;
    let leader = reply.i32()?;
    let leader = u32::try_from(leader).map_err(|_| WireError::Malformed("no leader of the metadata quorum"))?;
    Ok((leader, reply.i32()?))
}

/// Sets the replicas of a topic partition; the first becomes the preferred leader.
pub(crate) async fn reassign(
    address: &str,
    tp: &TopicPartition,
    replicas: &[u32],
    within: Duration,
) -> Result<(), WireError> {
    let mut body = Writer::default();
    body.i32(within.as_millis() as i32);
    body.compact_len(1).compact_string(&tp.topic);
    body.compact_len(1).i32(tp.partition).compact_len(replicas.len());
    for id in replicas {
        body.i32(*id as i32);
    }
    body.tags().tags().tags();
    let mut reply = call(address, ApiKey::AlterPartitionReassignments, 0, &body, within).await?;
    reply.i32()?; // throttle time
    reply.success()?;
    reply.compact_string()?;
    for _ in 0..reply.compact_len()? {
        reply.compact_string()?;
        for _ in 0..reply.compact_len()? {
            reply.i32()?;
            reply.success()?;
            reply.compact_string()?;
            reply.tags()?;
        }
        reply.tags()?;
    }
    Ok(())
}

/// Makes the preferred replica the leader. It is no error if it is already.
pub(crate) async fn elect_preferred(address: &str, tp: &TopicPartition, within: Duration) -> Result<(), WireError> {
    const PREFERRED: i8 = 0;
    const ELECTION_NOT_NEEDED: i16 = 84;
    let mut body = Writer::default();
    body.i8(PREFERRED).i32(1).string(&tp.topic).i32(1).i32(tp.partition);
    body.i32(within.as_millis() as i32);
    let mut reply = call(address, ApiKey::ElectLeaders, 1, &body, within).await?;
    reply.i32()?; // throttle time
    reply.success()?;
    reply.items(|r| {
        r.string()?;
        r.items(|r| {
            r.i32()?;
            match r.i16()? {
                0 | ELECTION_NOT_NEEDED => r.string(),
                code => Err(WireError::Refused(code)),
            }
        })
    })?;
    Ok(())
}
