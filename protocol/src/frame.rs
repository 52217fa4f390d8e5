//! The frames that a client sends.

use crate::id::{CharacterId, RequestId, UserId, Version};
use crate::{wire_choice, wire_map, wire_names};

wire_names! {
    /// When an intent is answered; `Applied` if it is missing.
    Ack("`applied` or `durable`") {
        /// As soon as it is applied.
        "applied" => Applied,
        /// After the commit of the state that it made.
        "durable" => Durable,
    }
}

wire_choice! {
    /// One client message: a map with one entry, its kind and that kind's fields.
    ClientFrame<A> ("frame") {
        /// Asks for an action.
        "intent" => Intent(Intent<A>),
        /// Asks to be told of every change that others make.
        "watch" => Watch(Watch),
        /// Ends a watch.
        "unwatch" => Unwatch(Unwatch),
        /// Asks for the present state.
        "fetch" => Fetch(Fetch),
        /// Continues with a newer token of the same session.
        "refresh" => Refresh(Refresh),
        /// For browsers, which cannot send protocol pings.
        "ping" => Ping(Ping),
    }
}

impl<A> ClientFrame<A> {
    /// The frame's request id; only a `ping` may lack one.
    pub fn id(&self) -> Option<RequestId> {
        match self {
            Self::Intent(intent) => Some(intent.id),
            Self::Watch(watch) => Some(watch.id),
            Self::Unwatch(unwatch) => Some(unwatch.id),
            Self::Fetch(fetch) => Some(fetch.id),
            Self::Refresh(refresh) => Some(refresh.id),
            Self::Ping(ping) => ping.id,
        }
    }
}

wire_map! {
    /// Fields of `intent`.
    frame Intent<A> {
        /// The request id, never used for another intent.
        id: RequestId,
        /// The character to act on.
        character: CharacterId,
        /// The intent that led to the state that this intent is based on. Give this or `expect`.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<RequestId>,
        /// The version that this intent is based on; 0 means any. Give this or `after`.
        #[serde(skip_serializing_if = "Option::is_none")]
        expect: Option<Version>,
        /// The action that is asked for.
        action: A,
        /// When to answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        ack: Option<Ack>,
        /// W3C Trace Context of the client's own span.
        #[serde(skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
        /// The owner, for the role `game`.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    }
}
wire_map! {
    /// Fields of `watch`.
    frame Watch {
        /// The request id.
        id: RequestId,
        /// The character to watch.
        character: CharacterId,
        /// The owner, for the role `game`.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    }
}
wire_map! {
    /// Fields of `unwatch`.
    frame Unwatch {
        /// The request id.
        id: RequestId,
        /// The character to stop watching.
        character: CharacterId,
        /// The owner, for the role `game`.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    }
}
wire_map! {
    /// Fields of `fetch`.
    frame Fetch {
        /// The request id.
        id: RequestId,
        /// The character to send.
        character: CharacterId,
        /// The owner, for the role `game`.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    }
}
wire_map! {
    /// Fields of `refresh`.
    frame Refresh {
        /// The request id.
        id: RequestId,
        /// A newer access token of the same session.
        token: String,
    }
}
wire_map! {
    /// Fields of `ping`.
    frame Ping {
        /// Comes back in the `pong`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
    }
}
