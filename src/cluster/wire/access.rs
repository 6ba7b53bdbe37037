//! Who may do what with a topic: access rules made and unmade.

use std::time::Duration;

use super::{ApiKey, Reader, WireError, Writer, call};
use crate::cluster::TopicOperation;

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const EVERYBODY: &str = "User:*";
const EVERYWHERE: &str = "*";
const ANY: i8 = 1;
const ALL_OPERATIONS: i8 = 2;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

/// Denies one operation on a topic to everybody. Beside it everything is allowed: a topic with any rule is forbidden by
/// default.
pub(crate) async fn create_denial(
    address: &str,
    topic: &str,
    operation: TopicOperation,
    within: Duration,
) -> Result<(), WireError> {
    let operation = match operation {
        TopicOperation::Read => 3,
        TopicOperation::Write => 4,
    };
    let mut body = Writer::default();
    body.i32(2);
    for (operation, permission) in [(ALL_OPERATIONS, ALLOW), (operation, DENY)] {
        body.i8(TOPIC).string(topic).i8(LITERAL).string(EVERYBODY).string(EVERYWHERE).i8(operation).i8(permission);
    }
    let mut reply = call(address, ApiKey::CreateAcls, 1, &body, within).await?;
    reply.i32()?; // throttle time
    reply.items(|r| {
        r.success()?;
        r.string()
    })?;
    Ok(())
}

/// Takes away every rule about a topic.
pub(crate) async fn delete_acls(address: &str, topic: &str, within: Duration) -> Result<(), WireError> {
    let mut body = Writer::default();
    body.i32(1).i8(TOPIC).nullable_string(Some(topic)).i8(LITERAL).nullable_string(None).nullable_string(None);
    body.i8(ANY).i8(ANY);
    let mut reply = call(address, ApiKey::DeleteAcls, 1, &body, within).await?;
    reply.i32()?; // throttle time
    reply.items(|r| {
        r.success()?;
        r.string()?;
        r.items(deleted)
    })?;
    Ok(())
}

/// How many rules about a topic this broker knows that deny something.
pub(crate) async fn denials(address: &str, topic: &str, within: Duration) -> Result<usize, WireError> {
    let mut body = Writer::default();
    body.i8(TOPIC).nullable_string(Some(topic)).i8(LITERAL).nullable_string(None).nullable_string(None);
    body.i8(ANY).i8(DENY);
    let mut reply = call(address, ApiKey::DescribeAcls, 1, &body, within).await?;
    reply.i32()?; // throttle time
    reply.success()?;
    reply.string()?; // message
    let rules = reply.items(|r| {
        r.i8()?;
        r.string()?;
        r.i8()?;
        r.items(|r| {
            r.string()?;
            r.string()?;
            r.i8()?;
            r.i8()
        })
    })?;
    Ok(rules.iter().map(Vec::len).sum())
}

fn deleted(reply: &mut Reader) -> Result<(), WireError> {
    reply.success()?;
    reply.string()?;
    reply.i8()?;
    reply.string()?;
    reply.i8()?;
    reply.string()?;
    reply.string()?;
    reply.i8()?;
    reply.i8()?;
    Ok(())
}
