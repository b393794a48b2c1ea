//! An exchange read back from its recording: what led to what as events, its bodies in temporary files.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result};
use lockgate_core::layers::hold::SHOWN;
use lockgate_recording::{
    Archive, Closed, Event, ExchangeOpened, ExchangeReader, Field, FieldValue, Location, Outcome, ReadError,
    Recorded, RequestHead, ResponseHead, What,
};
use serde_json::Value;
use uuid::Uuid;

/// An exchange as it was recorded.
pub(crate) struct Transcript {
    /// How it began.
    pub(crate) opened: ExchangeOpened,
    /// The request's head.
    pub(crate) request: Option<RequestHead>,
    /// The response's head.
    pub(crate) response: Option<ResponseHead>,
    /// The body of the request.
    pub(crate) sent: Recording,
    /// The body of the response.
    pub(crate) answered: Recording,
    /// What the protocol understood: a list of accesses.
    pub(crate) accesses: Value,
    /// What the policy said.
    pub(crate) verdict: Value,
    /// What approvers are shown of the content, where it was held.
    pub(crate) shown: Option<String>,
    /// How the approval stood, as it changed.
    pub(crate) approvals: Vec<Value>,
    /// When it went upstream.
    pub(crate) forwarded: Option<Duration>,
    /// How it ends once its answer is whole, where nothing later says otherwise.
    pub(crate) ended: Option<(Duration, Outcome)>,
    /// How it ended.
    pub(crate) closed: Option<(Duration, Closed)>,
}

/// A body in a temporary file.
pub(crate) struct Recording {
    file: File,
    /// How many bytes.
    pub(crate) length: u64,
    /// Whether its end was recorded.
    pub(crate) whole: bool,
}

impl Recording {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile().context("no temporary file can be made")?;
        Ok(Self { file, length: 0, whole: false })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).context("the temporary file can't be written")?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Reads it from its beginning.
    pub(crate) fn reader(&self) -> io::Result<impl io::Read + use<>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

impl Transcript {
    /// Reads an exchange; `bundles` say where it lies, if that is known. Of one that is still under way, what is
    /// there is read. `None` where nothing is.
    pub(crate) async fn read(archive: &Archive, exchange: Uuid, bundles: &[Uuid]) -> Result<Option<Self>> {
        let Some(mut reader) = open(archive, exchange, bundles).await? else { return Ok(None) };
        let mut transcript = None;
        loop {
            let Recorded { at, what } = match reader.next().await {
                Ok(Some(recorded)) => recorded,
                Ok(None) => return Ok(transcript),
                // A later bundle of it is still on its way to the store.
                Err(ReadError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match (&mut transcript, what) {
                (None, What::Opened(opened)) => transcript = Some(Self::new(opened)?),
                (None, What::Event(_) | What::Closed(_)) => {}
                (Some(transcript), What::Event(event)) => transcript.take(at, event)?,
                (Some(transcript), What::Closed(closed)) => transcript.closed = Some((at, closed)),
                (Some(_), What::Opened(_)) => {}
            }
        }
    }

    fn new(opened: ExchangeOpened) -> Result<Self> {
        Ok(Self {
            opened,
            request: None,
            response: None,
            sent: Recording::new()?,
            answered: Recording::new()?,
            accesses: Value::Null,
            verdict: Value::Null,
            shown: None,
            approvals: Vec::new(),
            forwarded: None,
            ended: None,
            closed: None,
        })
    }

    fn take(&mut self, at: Duration, event: Event) -> Result<()> {
        match event {
            Event::RequestHead(head) => self.request = Some(head),
            Event::ResponseHead(head) => self.response = Some(head),
            Event::RequestData(data) => self.sent.add(&data)?,
            Event::ResponseData(data) => self.answered.add(&data)?,
            Event::RequestEnd => self.sent.whole = true,
            Event::ResponseEnd { outcome } => {
                self.answered.whole = true;
                self.ended = outcome.map(|outcome| (at, outcome));
            }
            Event::Access(text) => self.accesses = serde_json::from_str(&text)?,
            Event::Verdict(text) => self.verdict = serde_json::from_str(&text)?,
            Event::Approval(text) => self.approvals.push(serde_json::from_str(&text)?),
            Event::Forwarded => self.forwarded = Some(at),
            Event::Note { kind, text } if kind == SHOWN => self.shown = Some(text),
            Event::RequestTrailers(_)
            | Event::ResponseTrailers(_)
            | Event::ChannelData { .. }
            | Event::Note { .. }
            | Event::Gap { .. } => {}
        }
        Ok(())
    }

    /// A field of the request's head, where it stands in the recording as it was.
    pub(crate) fn request_field(&self, name: &str) -> Option<String> {
        exact(&self.request.as_ref()?.fields, name)
    }
}

/// The first field of this name, where it stands in the recording as it was.
pub(crate) fn exact(fields: &[Field], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name.as_bytes())?;
    match &field.value {
        FieldValue::Exact(value) => Some(String::from_utf8_lossy(value).into_owned()),
        FieldValue::Redacted { .. } => None,
    }
}

/// Opens an exchange for reading; `None` where there is nothing of it.
pub(crate) async fn open(
    archive: &Archive,
    exchange: Uuid,
    bundles: &[Uuid],
) -> Result<Option<ExchangeReader>> {
    let location = (!bundles.is_empty()).then(|| Location { bundles: bundles.to_vec() });
    match archive.exchange(exchange, location.as_ref()).await {
        Ok(reader) => Ok(Some(reader)),
        Err(ReadError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A line per field, a credential as the tag that stands for it.
pub(crate) fn field(field: &Field) -> String {
    let name = String::from_utf8_lossy(&field.name);
    match &field.value {
        FieldValue::Exact(value) => format!("{name}: {}", String::from_utf8_lossy(value)),
        FieldValue::Redacted { tag, length } => {
            let tag: String = tag.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("{name}: <credential of {length} bytes, tag {tag}>")
        }
    }
}
