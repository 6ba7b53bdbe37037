//! Properties of topics: set, taken back, and as one broker knows them.

use std::time::Duration;

use super::{ApiKey, WireError, Writer, call};

const TOPIC: i8 = 2;

/// Sets one property of a topic, or takes it back to its default.
pub(crate) async fn incremental_alter_topic(
    address: &str,
    topic: &str,
    property: &str,
    value: Option<&str>,
    within: Duration,
) -> Result<(), WireError> {
    let (set, delete) = (0, 1);
    let mut body = Writer::default();
    body.i32(1).i8(TOPIC).string(topic);
    body.i32(1).string(property).i8(if value.is_some() { set } else { delete }).nullable_string(value);
    body.i8(0); // not only validate
    let mut reply = call(address, ApiKey::IncrementalAlterConfigs, 0, &body, within).await?;
    reply.i32()?; // throttle time
    reply.items(|r| {
        r.success()?;
        r.string()?;
        r.i8()?;
        r.string()
    })?;
    Ok(())
}

/// A property that is set for the topic itself, as this broker knows it; `None`: it has the default.
pub(crate) async fn topic_property(
    address: &str,
    topic: &str,
    property: &str,
    within: Duration,
) -> Result<Option<String>, WireError> {
    const SET_FOR_THE_TOPIC: i8 = 1;
    let mut body = Writer::default();
    body.i32(1).i8(TOPIC).string(topic).i32(1).string(property);
    body.i8(0); // no synonyms
    let mut reply = call(address, ApiKey::DescribeConfigs, 1, &body, within).await?;
    reply.i32()?; // throttle time
    let found = reply.items(|r| {
        r.success()?;
        r.string()?; // message
        r.i8()?;
        r.string()?;
        r.items(|r| {
            r.string()?;
            let value = r.string()?;
            r.i8()?; // read-only
            let source = r.i8()?;
            r.i8()?; // sensitive
            r.items(|r| {
                r.string()?;
                r.string()?;
                r.i8()
            })?;
            Ok((source == SET_FOR_THE_TOPIC).then_some(value))
        })
    })?;
    Ok(found.into_iter().flatten().flatten().next())
}
