//! Where the effects of an application of one's own show, when that is not a topic.

use serde::{Deserialize, Serialize};

/// `[subject] sink`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectSink {
    /// The output topic.
    #[default]
    Topic,
    /// Lines of JSON on the members' standard output.
    Stdout,
    /// A list at this URL, with [placeholders](super::PLACEHOLDERS) and [`FROM`].
    Http(String),
}

/// Placeholder of an endpoint's URL: the number of the entry that the answer is to begin with, from 0.
pub const FROM: &str = "from";

impl EffectSink {
    /// The output topic.
    pub fn is_topic(&self) -> bool {
        *self == Self::Topic
    }

    /// What stands in a history in the output topic's place: a name that no topic can have.
    pub fn place(&self) -> Option<&'static str> {
        match self {
            Self::Topic => None,
            Self::Stdout => Some("sink:stdout"),
            Self::Http(_) => Some("sink:http"),
        }
    }

    /// Of the endpoint that lists them.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Http(url) => Some(url),
            Self::Topic | Self::Stdout => None,
        }
    }

    /// For people; `topic` is what they call the output topic.
    pub fn words(&self, topic: &str) -> String {
        match self {
            Self::Topic => topic.to_owned(),
            Self::Stdout => "the members' standard output".to_owned(),
            Self::Http(url) => format!("the list at {url}"),
        }
    }
}
