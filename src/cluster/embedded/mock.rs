//! The child process: librdkafka's mock cluster, and orders to it as lines of JSON on standard input. When that closes,
//! the harness is gone, however it ended, and so is the child.
//!
//! A process of its own because the mock aborts on what it does not expect: an assertion ends the child, and the
//! harness can say so. Owns the raw calls; must not know what they are given for.

use std::ffi::CString;
use std::io::{BufRead, Write};

use rdkafka::ClientConfig;
use rdkafka::bindings::{self, rd_kafka_mock_cluster_t, rd_kafka_resp_err_t};
use rdkafka::producer::{BaseProducer, Producer};
use serde::{Deserialize, Serialize};

/// A process that finds a number of brokers in this variable is a mock cluster.
pub const MOCK_ENV: &str = "SEAWORTHY_INTERNAL_MOCK";

/// What the mock cluster is told to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Order {
    /// Where clients are sent for a broker.
    Advertise { broker: u32, host: String, port: u16 },
    /// Makes a topic.
    Create { topic: String, partitions: i32, replication: i32 },
    /// Makes a broker the leader of a topic partition, under a new leader epoch.
    Leader { topic: String, partition: i32, broker: u32 },
    /// Makes a broker the coordinator of a group.
    Coordinator { group: String, broker: u32 },
    /// Takes a broker out of the metadata, or back in.
    Registered { broker: u32, registered: bool },
    /// A broker's answer to the next request of an API is an error.
    Refuse { broker: u32, api: i16, error: i16 },
    /// What brokers decide in the group protocol of KIP-848.
    GroupTimers { session_ms: i32, heartbeat_ms: i32 },
}

/// The answer to one order; and the first line of all, with the brokers' ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// `host:port` of each broker, in the order of their ids.
    Ready(Vec<String>),
    Done,
    Refused(String),
}

/// If this process was started as a mock cluster: runs it, and never returns.
pub fn run_if_mock() {
    let Ok(text) = std::env::var(MOCK_ENV) else { return };
    let code = match text.parse().map_err(|e| format!("{MOCK_ENV}={text}: {e}")).and_then(run) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("mock cluster: {error}");
            1
        }
    };
    // The owner's destructor waits for its clients; nobody needs it any more.
    std::process::exit(code);
}

fn run(brokers: u32) -> Result<(), String> {
    let mock = Mock::start(brokers)?;
    let mut out = std::io::stdout().lock();
    let mut answer = |answer: &Answer| {
        let line = serde_json::to_string(answer).map_err(|e| e.to_string())?;
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())
    };
    answer(&Answer::Ready(mock.addresses()))?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| format!("reading orders: {e}"))?;
        let done = serde_json::from_str(&line).map_err(|e| e.to_string()).and_then(|order| mock.obey(order));
        answer(&done.map_or_else(Answer::Refused, |()| Answer::Done))?;
    }
    Ok(())
}

struct Mock {
    cluster: *mut rd_kafka_mock_cluster_t,
    /// The client that the cluster belongs to: it lives as long.
    _owner: BaseProducer,
}

impl Mock {
    fn start(brokers: u32) -> Result<Self, String> {
        let owner: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", brokers.to_string())
            .create()
            .map_err(|e| e.to_string())?;
        // SAFETY: the client is alive, and made with a mock cluster.
        let cluster = unsafe { bindings::rd_kafka_handle_mock_cluster(owner.client().native_ptr()) };
        if cluster.is_null() {
            return Err("the client has no mock cluster".to_owned());
        }
        // SAFETY: the cluster lives as long as its owner; nobody has connected yet.
        unsafe {
            bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
            // Later versions tell clients of the new leader, and abort where there is none.
            for (api, min, max) in [(PRODUCE, 3, 8), (FETCH, 4, 11)] {
                checked(bindings::rd_kafka_mock_set_apiversion(cluster, api, min, max))?;
            }
        }
        Ok(Self { cluster, _owner: owner })
    }

    fn addresses(&self) -> Vec<String> {
        // SAFETY: the text belongs to the cluster and does not change.
        let list = unsafe { std::ffi::CStr::from_ptr(bindings::rd_kafka_mock_cluster_bootstraps(self.cluster)) };
        list.to_string_lossy().split(',').map(str::to_owned).collect()
    }

    fn obey(&self, order: Order) -> Result<(), String> {
        let text = |text: &str| CString::new(text).map_err(|e| e.to_string());
        let cluster = self.cluster;
        // SAFETY: the cluster lives as long as its owner; every text outlives its call, which copies it.
        unsafe {
            match order {
                Order::Advertise { broker, host, port } => {
                    let host = text(&host)?;
                    bindings::rd_kafka_mock_broker_set_host_port(cluster, id(broker), host.as_ptr(), i32::from(port));
                    Ok(())
                }
                Order::Create { topic, partitions, replication } => {
                    let topic = text(&topic)?;
                    checked(bindings::rd_kafka_mock_topic_create(cluster, topic.as_ptr(), partitions, replication))
                }
                Order::Leader { topic, partition, broker } => {
                    let topic = text(&topic)?;
                    checked(bindings::rd_kafka_mock_partition_set_leader(
                        cluster,
                        topic.as_ptr(),
                        partition,
                        id(broker),
                    ))
                }
                Order::Coordinator { group, broker } => {
                    let (kind, group) = (text("group")?, text(&group)?);
                    checked(bindings::rd_kafka_mock_coordinator_set(cluster, kind.as_ptr(), group.as_ptr(), id(broker)))
                }
                Order::Registered { broker, registered: true } => {
                    checked(bindings::rd_kafka_mock_broker_set_up(cluster, id(broker)))
                }
                Order::Registered { broker, registered: false } => {
                    checked(bindings::rd_kafka_mock_broker_set_down(cluster, id(broker)))
                }
                Order::Refuse { broker, api, error } => {
                    // Of C's variable arguments: pairs of error and round-trip time in milliseconds, as ints.
                    checked(bindings::rd_kafka_mock_broker_push_request_error_rtts(
                        cluster,
                        id(broker),
                        api,
                        1,
                        i32::from(error),
                        0i32,
                    ))
                }
                Order::GroupTimers { session_ms, heartbeat_ms } => {
                    bindings::rd_kafka_mock_set_group_consumer_session_timeout_ms(cluster, session_ms);
                    bindings::rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, heartbeat_ms);
                    Ok(())
                }
            }
        }
    }
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;

fn id(broker: u32) -> i32 {
    i32::try_from(broker).unwrap_or(i32::MAX)
}

fn checked(code: rd_kafka_resp_err_t) -> Result<(), String> {
    match code {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(rdkafka::types::RDKafkaErrorCode::from(code).to_string()),
    }
}
