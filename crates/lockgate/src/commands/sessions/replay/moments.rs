//! What happened on a stream, as lines of text or of JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use lockgate_k8s::{
    parse::side::Side,
    stream::{
        Channel,
        transcript::{Moment, What},
    },
};
use serde_json::{Value, json};

use super::{super::stream, line, sized};

/// Prints it as text, of which as much is `left` for each direction.
pub(super) fn print(moment: &Moment<'_>, left: &mut [u64; 2]) {
    let at = moment.at;
    match moment.what {
        What::Opened { id, channel } => line(at, ">", &format!("{} is opened", place(id, channel))),
        // They are told as sizes.
        What::Bytes { channel: Channel::Resize, .. } => {}
        What::Bytes { side, id, channel, bytes } => {
            let left = match side {
                Side::Client => &mut left[0],
                Side::Server => &mut left[1],
            };
            line(at, mark(side), &format!("{} {}", place(id, channel), sized(bytes, left)));
        }
        What::Resized(size) => {
            line(at, ">", &format!("the terminal is {}x{}", size.columns, size.rows));
        }
        What::Finished { side, id, channel } => {
            line(at, mark(side), &format!("{} is closed", place(id, channel)));
        }
    }
}

/// It as JSON.
pub(super) fn value(moment: &Moment<'_>) -> Value {
    let of = |event: &str, id: u32, channel: Channel| json!({ "event": event, "stream": id, "channel": stream::name(channel), "port": channel.port() });
    let by = |mut value: Value, side: Side| {
        value["side"] = json!(match side {
            Side::Client => "client",
            Side::Server => "upstream",
        });
        value
    };
    let mut value = match moment.what {
        What::Opened { id, channel } => of("stream_opened", id, channel),
        What::Bytes { side, id, channel, bytes } => {
            let mut value = by(of("stream_data", id, channel), side);
            value["base64"] = json!(BASE64_STANDARD.encode(bytes));
            value
        }
        What::Resized(size) => {
            json!({ "event": "stream_resized", "columns": size.columns, "rows": size.rows })
        }
        What::Finished { side, id, channel } => by(of("stream_closed", id, channel), side),
    };
    value["at_micros"] = json!(u64::try_from(moment.at.as_micros()).unwrap_or(u64::MAX));
    value
}

fn mark(side: Side) -> &'static str {
    match side {
        Side::Client => ">",
        Side::Server => "<",
    }
}

/// A channel; of a port-forward with its port and the connection.
fn place(id: u32, channel: Channel) -> String {
    match channel.port() {
        Some(port) => format!("port {port}, stream {id}, {}", stream::name(channel)),
        None => stream::name(channel).to_owned(),
    }
}
